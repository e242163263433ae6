"""A story being told: the listening and the painting at once, and what goes back to the caller."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from time import monotonic
from typing import Any

from deepsing.audio import AudioError
from deepsing.runtime.errors import InvalidInput
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.agreement import RunningAgreement
from services.composer.arrivals import Arrivals
from services.composer.ending import manifest_facts, session_end
from services.composer.files import StoryFiles, pieces_of
from services.composer.gate import FrameGate
from services.composer.listening import HeardQueue, Listening
from services.composer.live_painting import painter_of
from services.composer.messages import achieved_point, affect_point, frame, refusal_of
from services.composer.outbox import Outbox
from services.composer.painting import Painter, Painting
from services.composer.palette import Palette
from services.composer.peers import Peers
from services.composer.plan import StoryPlan
from services.composer.reader import Reader
from services.composer.readings import Reading, excerpt
from services.composer.settings import ComposerSettings
from services.composer.spool import Spool

__all__ = ["Telling"]

BEAT_S = 0.5  # between heartbeats while frames are painted


class Telling:
    """Tells one story.

    Args:
        outbox: takes what goes back to the caller, in order.
        beat: kept at what it is busy with.
        gate: lets frames out.
        arrivals: when how much of the story's audio came, microseconds.
        spool: the song, which may still be on its way; files are written beside it.
    """

    def __init__(
        self,
        plan: StoryPlan,
        settings: ComposerSettings,
        peers: Peers,
        session_id: str,
        outbox: Outbox,
        beat: pb.Heartbeat,
        gate: FrameGate,
        arrivals: Arrivals,
        spool: Spool,
    ) -> None:
        self.plan, self.settings, self.peers, self.session_id = plan, settings, peers, session_id
        self.outbox, self.beat, self.gate, self.arrivals, self.spool = outbox, beat, gate, arrivals, spool
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="story")  # files are written by one thread, in order
        self.beaten_at = monotonic()
        self.agreement = (RunningAgreement(), RunningAgreement())
        self.files: StoryFiles | None = None
        self.sound: asyncio.Task[None] | None = None

    async def tell(self, palette: Palette, digest: str, group: asyncio.TaskGroup) -> None:
        """Sends the story from its first message to its last; `digest` is the story's."""
        plan, first = self.plan, self.plan.resume.next_seq if self.plan.resume else 0
        painter = painter_of(
            plan,
            palette,
            self.peers,
            self.settings,
            session_id=self.session_id,
            first=first,
            arrivals=self.arrivals,
        )
        self.files = StoryFiles(self.spool.path.parent, plan, painter.size, self.settings.encoder_threads)
        started = pb.SessionStarted(
            session_id=self.session_id, story_digest=digest, size=painter.size, digests=palette.digests
        )
        started.song_held = self.spool.adopted
        started.frame_rate.numerator, started.frame_rate.denominator = plan.rate.numerator, plan.rate.denominator
        await self.outbox.put(pb.ComposeResponse(session_started=started))
        self.beat.phase = pb.PHASE_LISTENING
        if pb.STORY_FILE_KIND_VIDEO in plan.files:
            self.sound = group.create_task(self._sound(self.files))
        listening, heard = Listening(plan, palette, self.spool, self.peers, self.arrivals), HeardQueue()
        hearing = group.create_task(self._hear(listening, heard))
        tell = self._tell_reading if plan.send_achieved else None
        reader = Reader(plan, palette.concepts, self.peers, self.settings, tell)
        reader.start(group)
        async with aclosing(painter.run(heard.stretches())) as paintings:
            async for painting in paintings:
                await self._show(painting, reader)
        await hearing
        await self._end(palette, painter, listening, reader)

    async def close(self) -> None:
        """Gives up what is not finished."""
        if self.files is not None:
            self.files.abandoned = True
            await self._in_thread(self.files.abandon)
        await asyncio.to_thread(self.thread.shutdown)

    async def _hear(self, listening: Listening, heard: HeardQueue) -> None:
        """Listens as fast as it goes, so that the length of the story is soon known."""
        async with aclosing(listening.run()) as stretches:
            async for stretch in stretches:
                if stretch.last:
                    resume = listening.plan.resume
                    if resume is not None and resume.next_seq > stretch.frames:
                        message = f"next_seq is {resume.next_seq}; the story has {stretch.frames} frames"
                        reason = reasons.ERROR_REASON_RESUME_OUT_OF_RANGE
                        raise InvalidInput(message, reason=reason, field="resume.next_seq", value=resume.next_seq)
                    self.beat.frames_total = stretch.frames
                heard.put(stretch)
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
        if painting.left_out:
            self.gate.skip(painting.left_out.start, len(painting.left_out))
            await self.outbox.release()
        images = await self._in_thread(self.files.add, painting.pictures, painting.shown)
        for shown, image in zip(painting.shown, images, strict=True):
            for axis, agreement in enumerate(self.agreement):
                agreement.add(shown.target[axis], shown.expected[axis])
            self.beat.frames_done = shown.seq + 1
            if self.files.shows_frames:
                self.gate.offer(frame(shown, image))
        await self.outbox.release()
        while self.gate.backlog is None and self.gate.waiting:
            self.beat.phase = pb.PHASE_WAITING_FOR_CREDIT
            await self.gate.granted()
            await self.outbox.release()
        for picture, shown in zip(painting.pictures, painting.shown, strict=True):
            if reader.sampling.takes(shown.seq):
                reader.offer(await self._in_thread(excerpt, picture), shown)
        if monotonic() - self.beaten_at > BEAT_S:
            await self._send_beat()

    async def _send_beat(self) -> None:
        self.beaten_at, self.beat.lag_us = monotonic(), round(self.gate.lag_s * 1e6)
        await self.outbox.put(pb.ComposeResponse(heartbeat=self.beat))

    async def _tell_reading(self, reading: Reading) -> None:
        await self.outbox.put(pb.ComposeResponse(achieved_point=achieved_point(reading)))

    async def _end(self, palette: Palette, painter: Painter, listening: Listening, reader: Reader) -> None:
        """Finishes the files, sends them, and says goodbye."""
        assert self.files is not None
        self.beat.phase = pb.PHASE_FINISHING
        await self._send_beat()
        await self.outbox.farewell()
        await self.spool.complete()
        if self.sound is not None:
            await self.sound
        await reader.finish(self.settings.judge_wait_s)
        end = session_end(self.plan, palette, listening.summary, self.agreement, reader, self.beat.frames_total)
        end.song_digest, end.dropped_count = self.spool.digest, self.gate.dropped_count
        end.flashes_per_second = painter.guard.worst
        if not self.gate.dropped_count and not painter.first:
            end.frames_digest = self.files.frames_hash.hexdigest()
        facts = manifest_facts(self.plan, painter.size, end, reader.readings, self.session_id)
        for kind, path in await self._in_thread(self.files.finish, facts, reader.readings, end):
            for piece in pieces_of(kind, path):
                await self.outbox.put(pb.ComposeResponse(story_file_chunk=piece))
        await self.outbox.put(pb.ComposeResponse(session_end=end))

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, work, *arguments)
