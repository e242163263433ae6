"""One story being told: the upload, the listening and the painting at once, and what goes back to the caller."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from deepsing.audio import AudioError
from deepsing.runtime.errors import InvalidInput, ServiceError, TooLate, Unmet
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.agreement import RunningAgreement
from services.composer.ending import manifest_facts, session_end
from services.composer.files import StoryFiles, pieces_of
from services.composer.gate import FrameGate
from services.composer.listening import Heard, Listening, to_the_last
from services.composer.messages import achieved_point, affect_point, frame, refusal_of
from services.composer.painting import Painter, Painting, Palette
from services.composer.peers import Peers
from services.composer.plan import StoryPlan, plan_of, story_digest
from services.composer.reader import Reader
from services.composer.readings import Reading, excerpt
from services.composer.settings import ComposerSettings
from services.composer.spool import Spool
from services.composer.uploading import config_of, receive

__all__ = ["Session"]

Result = TypeVar("Result")
BEAT_S = 0.5  # between heartbeats while frames are painted
LIVE_BACKLOG_S = 0.5  # of frames that wait for credit before the oldest is dropped
LIVE_FAREWELL_S = 2.0  # for credit for the last live frames


class Session:
    """Runs one Compose call.

    Args:
        session_id: for logs, for the manifest, and for the generator's queue.
        unlimited: True where frames need no credit (Render).
    """

    def __init__(self, settings: ComposerSettings, peers: Peers, session_id: str, *, unlimited: bool = False) -> None:
        self.settings, self.peers, self.session_id, self.unlimited = settings, peers, session_id, unlimited
        self.outbox: asyncio.Queue[pb.ComposeResponse | None] = asyncio.Queue(maxsize=8)  # a raw frame may have 11 MB
        self.folder = Path(tempfile.mkdtemp(prefix="deepsing-"))
        self.spool = Spool(self.folder / "song", settings.max_song_bytes)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="story")  # files are written by one thread, in order
        self.beat = pb.Heartbeat(phase=pb.PHASE_WARMING)
        self.beaten_at = monotonic()
        self.sending = asyncio.Lock()
        self.agreement = (RunningAgreement(), RunningAgreement())
        self.files: StoryFiles | None = None
        self.sound: asyncio.Task[None] | None = None
        self.heard_us = 0

    async def run(self, requests: AsyncIterator[pb.ComposeRequest]) -> AsyncGenerator[pb.ComposeResponse]:
        """Yields the answer to a stream of requests; whatever happens, nothing is left behind."""
        work = asyncio.create_task(self._work(requests))
        work.add_done_callback(self._wake)
        try:
            while not (work.done() and self.outbox.empty()):
                try:
                    ready, heartbeat_s = not self.outbox.empty(), self.settings.heartbeat_s
                    response = await (self.outbox.get() if ready else asyncio.wait_for(self.outbox.get(), heartbeat_s))
                except TimeoutError:
                    response = None if work.done() else pb.ComposeResponse(heartbeat=self.beat)
                if response is not None:
                    yield response
            await work
        finally:
            await self._close(work)

    def _wake(self, _work: asyncio.Task[None]) -> None:
        """Ends the wait for more once there is no more; never waits itself, for the reader may be gone."""
        if self.outbox.empty():
            self.outbox.put_nowait(None)

    async def _close(self, work: asyncio.Task[None]) -> None:
        work.cancel()
        await asyncio.wait({work})  # however it ended
        if self.files is not None:
            self.files.abandoned = True
            await self._in_thread(self.files.abandon)
        await asyncio.to_thread(self.thread.shutdown)
        self.spool.close()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _work(self, requests: AsyncIterator[pb.ComposeRequest]) -> None:
        """Receives and tells at the same time; the first failure ends both."""
        try:
            incoming = aiter(requests)
            config = await config_of(incoming)
            plan = plan_of(config)
            backlog = max(1, round(LIVE_BACKLOG_S * plan.rate)) if plan.live else None
            credit = None if self.unlimited else plan.initial_credit
            self.gate = FrameGate(credit, backlog, self.settings.credit_stall_s)
            async with asyncio.TaskGroup() as group:
                stall_s = self.settings.upload_stall_s
                upload = group.create_task(receive(incoming, self.spool, self.gate, self._send_released, stall_s))
                await self._tell(plan, config, group)
                upload.cancel()
        except ExceptionGroup as failures:
            raise _first_refusal(failures) from failures

    async def _tell(self, plan: StoryPlan, config: pb.StoryConfig, group: asyncio.TaskGroup) -> None:
        """Tells the story from its first message to its last."""
        palette = await Palette.of(plan, self.peers)
        digest, first = story_digest(config, palette.digests), 0
        if plan.resume is not None:
            first = plan.resume.next_seq
            if plan.resume.story_digest != digest:
                message = "this song and config make another story; start it anew"
                raise Unmet(message, reason=reasons.ERROR_REASON_RESUME_MISMATCH, field="resume.story_digest")
        painter = Painter(
            plan,
            palette,
            self.peers,
            session_id=self.session_id,
            batch=self.settings.batch,
            in_flight=self.settings.batches_in_flight,
            first=first,
        )
        started = pb.SessionStarted(
            session_id=self.session_id, story_digest=digest, size=painter.size, digests=palette.digests
        )
        started.frame_rate.numerator, started.frame_rate.denominator = plan.rate.numerator, plan.rate.denominator
        await self.outbox.put(pb.ComposeResponse(session_started=started))
        self.beat.phase = pb.PHASE_LISTENING
        self.files = StoryFiles(self.folder, plan, painter.size, self.settings.encoder_threads)
        if pb.STORY_FILE_KIND_VIDEO in plan.files:
            self.sound = group.create_task(self._sound(self.files))
        listening, heard = Listening(plan, palette.norm, self.spool, self.peers), asyncio.Queue[Heard]()
        hearing = group.create_task(self._hear(listening, heard))
        tell = self._tell_reading if plan.send_achieved else None
        reader = Reader(plan, palette.concepts, self.peers, self.settings, tell)
        reader.start(group)
        async with aclosing(painter.run(to_the_last(heard))) as paintings:
            async for painting in paintings:
                await self._show(painting, reader)
        await hearing
        await self._end(plan, palette, painter, listening, reader)

    async def _hear(self, listening: Listening, heard: asyncio.Queue[Heard]) -> None:
        """Listens as fast as it goes, so that the length of the story is soon known."""
        async with aclosing(listening.run()) as stretches:
            async for stretch in stretches:
                self.heard_us = listening.heard_us
                if stretch.last:
                    resume = listening.plan.resume
                    if resume is not None and resume.next_seq > stretch.frames:
                        message = f"next_seq is {resume.next_seq}; the story has {stretch.frames} frames"
                        reason = reasons.ERROR_REASON_RESUME_OUT_OF_RANGE
                        raise InvalidInput(message, reason=reason, field="resume.next_seq", value=resume.next_seq)
                    self.beat.frames_total = stretch.frames
                heard.put_nowait(stretch)
                for point in stretch.points:
                    await self.outbox.put(pb.ComposeResponse(affect_point=affect_point(point)))

    async def _sound(self, files: StoryFiles) -> None:
        """Encodes the song's sound beside the painting, once all of it is there."""
        await self.spool.complete()
        try:
            await asyncio.to_thread(files.sound, self.spool.path)
        except AudioError as error:
            raise refusal_of(error) from error

    async def _show(self, painting: Painting, reader: Reader) -> None:
        """Sends a batch of frames as credit allows, and a heartbeat now and then."""
        assert self.files is not None
        self.beat.phase = pb.PHASE_PAINTING
        images = await self._in_thread(self.files.add, painting.pictures, painting.shown)
        for shown, image in zip(painting.shown, images, strict=True):
            for axis, agreement in enumerate(self.agreement):
                agreement.add(shown.target[axis], shown.expected[axis])
            self.beat.frames_done = shown.seq + 1
            self.beat.lag_us = max(0, self.heard_us - round(shown.time_s * 1e6))
            if self.files.shows_frames:
                if self.gate.backlog is None and self.gate.blocked:
                    self.beat.phase = pb.PHASE_WAITING_FOR_CREDIT
                    await self.gate.granted()
                self.gate.offer(frame(shown, image))
                await self._send_released()
        for picture, shown in zip(painting.pictures, painting.shown, strict=True):
            if reader.sampling.takes(shown.seq):
                reader.offer(await self._in_thread(excerpt, picture), shown)
        if monotonic() - self.beaten_at > BEAT_S:
            self.beaten_at = monotonic()
            await self.outbox.put(pb.ComposeResponse(heartbeat=self.beat))

    async def _send_released(self) -> None:
        async with self.sending:
            for response in self.gate.released():
                await self.outbox.put(response)

    async def _tell_reading(self, reading: Reading) -> None:
        await self.outbox.put(pb.ComposeResponse(achieved_point=achieved_point(reading)))

    async def _end(
        self, plan: StoryPlan, palette: Palette, painter: Painter, listening: Listening, reader: Reader
    ) -> None:
        """Finishes the files, sends them, and says goodbye."""
        assert self.files is not None
        self.beat.phase = pb.PHASE_FINISHING
        await self.outbox.put(pb.ComposeResponse(heartbeat=self.beat))
        if self.gate.waiting:
            with suppress(TimeoutError, TooLate):
                await asyncio.wait_for(self.gate.granted(), LIVE_FAREWELL_S)
            await self._send_released()
            self.gate.give_up()
            await self._send_released()
        await self.spool.complete()
        if self.sound is not None:
            await self.sound
        await reader.finish(self.settings.judge_wait_s)
        end = session_end(plan, palette, listening.summary, self.agreement, reader, self.beat.frames_total)
        end.song_digest, end.dropped_count = self.spool.digest, self.gate.dropped_count
        end.flashes_per_second = painter.guard.worst
        if not self.gate.dropped_count and not painter.first:
            end.frames_digest = self.files.frames_hash.hexdigest()
        facts = manifest_facts(plan, painter.size, end, reader.readings, self.session_id)
        for kind, path in await self._in_thread(self.files.finish, facts, reader.readings, end):
            for piece in pieces_of(kind, path):
                await self.outbox.put(pb.ComposeResponse(story_file_chunk=piece))
        await self.outbox.put(pb.ComposeResponse(session_end=end))

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, work, *arguments)


def _first_refusal(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that the caller is to see: a refusal before anything else that failed with it."""
    refused, other = failures.split(ServiceError)
    chosen: BaseException = refused or other or failures
    while isinstance(chosen, BaseExceptionGroup):
        chosen = chosen.exceptions[0]
    return chosen
