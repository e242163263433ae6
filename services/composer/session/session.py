"""One Compose or Render call, from its first message to its last; its files and tasks end with it."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from time import monotonic

from deepsing.access.accounts import caller_name
from deepsing.rpc.errors import DeadlineExceeded, FailedPrecondition, ResourceExhausted, ServiceError
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.backends.client import Backends
from services.composer.output.files import StoryFiles
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.pipeline import StoryPipeline
from services.composer.pipeline.room import FrameRoom, plan_room
from services.composer.pipeline.task import StoryTask
from services.composer.session.config import parse_config, story_digest
from services.composer.session.credit import CreditGate
from services.composer.session.delivery import Delivery, FileRoom
from services.composer.session.messages import build_session_started
from services.composer.session.outbox import Outbox
from services.composer.session.receive import receive_config, receive_upload
from services.composer.settings import ComposerSettings
from services.composer.story.plan import ImageFormat, StoryPlan
from services.composer.upload.arrivals import ArrivalLog
from services.composer.upload.resources import Resources
from services.composer.upload.song_file import SongFile

__all__ = ["Session"]

ROOM_SHARE = 8  # of the memory that is free, the part that a new story may take beyond what it needs at least
ROOM_WAIT_S, UNREAD_S, WATCH_S = 20.0, 10.0, 1.0  # see _reserve and _watch_reader
WAITING_BYTES = 32 * 2**20  # of raw live frames that may wait for a caller who reads slowly
CLOSING: set[asyncio.Task[None]] = set()  # clean-up tasks; the event loop keeps only weak references to tasks


class Session:
    """Runs one Compose or Render call.

    Args:
        resources: of this composer: room for the song and the files, and songs of earlier sessions.
        session_id: used in logs, in the manifest and in the generator's queue.
        unlimited: True if frames need no credit (Render).
    """

    def __init__(
        self,
        settings: ComposerSettings,
        backends: Backends,
        resources: Resources,
        session_id: str,
        *,
        unlimited: bool = False,
    ) -> None:
        self._settings, self._backends, self._session_id, self._unlimited = settings, backends, session_id, unlimited
        self._resources, self._owner = resources, caller_name()
        self.outbox, self._arrivals = Outbox(), ArrivalLog()
        self._disk, self._memory = (one.open_share(self._owner) for one in (resources.disk, resources.memory))
        self.folder = Path(tempfile.mkdtemp(prefix="deepsing-", dir=resources.scratch.path))
        try:
            self._song_file = SongFile(self.folder / "song", settings.max_song_bytes, self._disk)
        except OSError:
            self.folder.rmdir()
            raise
        self._heartbeat = pb.Heartbeat(phase=pb.PHASE_WARMING)
        self._delivery: Delivery | None = None

    async def run(self, requests: AsyncIterator[pb.ComposeRequest]) -> AsyncGenerator[pb.ComposeResponse]:
        """Yields the responses to a stream of requests."""
        work = asyncio.create_task(self._work(requests))
        work.add_done_callback(self._wake)
        try:
            while not (work.done() and self.outbox.empty()):
                try:
                    response = await self._next()
                except TimeoutError:
                    response = None if work.done() else pb.ComposeResponse(heartbeat=self._heartbeat)
                if response is not None:
                    yield response
            await work
        finally:
            closing = asyncio.create_task(self._close(work))  # completed even if this coroutine is cancelled again
            CLOSING.add(closing)
            closing.add_done_callback(CLOSING.discard)
            await asyncio.shield(closing)

    async def _next(self) -> pb.ComposeResponse | None:
        """The next message. Raises TimeoutError if none comes within `heartbeat_s`."""
        if not self.outbox.empty():
            return await self.outbox.get()  # without a timeout, which costs more than the message
        async with asyncio.timeout(self._settings.heartbeat_s):
            return await self.outbox.get()

    def _wake(self, _work: asyncio.Task[None]) -> None:
        """Wakes `run` once the work has ended. It must not block, because nobody may read the outbox any more."""
        if self.outbox.empty():
            self.outbox.put_nowait(None)

    async def _close(self, work: asyncio.Task[None]) -> None:
        work.cancel()
        await asyncio.wait({work})
        work.cancelled() or work.exception()  # retrieved here; `run` raises it if the caller still waits
        try:
            if self._delivery is not None:
                await self._delivery.close()
        finally:
            self._song_file.close()
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)
            self._disk.close()
            self._memory.close()

    async def _work(self, requests: AsyncIterator[pb.ComposeRequest]) -> None:
        """Receives the song and makes the story at the same time; the first failure ends both."""
        try:
            incoming = aiter(requests)
            config = await receive_config(incoming, self._settings.upload_stall_s)
            plan = parse_config(config)
            backlog = max(1, round(self._settings.live_late_s * plan.rate)) if plan.live else None
            credit = None if self._unlimited else plan.initial_credit
            credit_gate = CreditGate(credit, backlog, self._settings.credit_stall_s, self._arrivals.age_s)
            self.outbox.attach(credit_gate)
            async with asyncio.TaskGroup() as group:
                stall_s = self._settings.upload_stall_s
                upload = group.create_task(
                    receive_upload(incoming, self._song_file, credit_gate, self.outbox.note_credit, stall_s)
                )
                watch = group.create_task(self._watch_reader())
                await self._make_story(config, plan, group)
                upload.cancel()
                watch.cancel()
        except ExceptionGroup as failures:
            self.outbox.clear()  # the caller may never read it
            raise _first_refusal(failures) from failures
        finally:
            self._memory.close()

    async def _make_story(self, config: pb.StoryConfig, plan: StoryPlan, group: asyncio.TaskGroup) -> None:
        capabilities = await Capabilities.fetch(plan, self._backends)
        digest = self._check_resume(plan, story_digest(config, capabilities.digests, capabilities.paint_rate))
        task = StoryTask(plan, capabilities, self._session_id, plan.resume.next_seq if plan.resume else 0)
        group.create_task(self._cache_song(plan))
        room = await self._reserve(task)
        files = StoryFiles(self.folder, plan, task.size, self._settings.encoder_threads)
        file_room = FileRoom(files, self._disk, self._resources.decode)
        self._delivery = Delivery(task, self._song_file, file_room, self.outbox, self._heartbeat)
        pipeline = StoryPipeline(task, self._song_file, self._backends, self._settings, self._arrivals, room)
        started = build_session_started(task, digest, song_held=self._song_file.is_cached)
        await self.outbox.put(pb.ComposeResponse(session_started=started))
        self._heartbeat.phase = pb.PHASE_LISTENING
        await self._delivery.run(pipeline, group)

    async def _reserve(self, task: StoryTask) -> FrameRoom:
        """Takes memory for the story's frames, for which it waits a while. Raises ResourceExhausted."""
        memory, until_s = self._resources.memory, monotonic() + ROOM_WAIT_S
        while True:
            room = plan_room(task, self._settings, memory.free / ROOM_SHARE)
            try:
                self._memory.resize(room.bytes)
                break
            except ResourceExhausted:
                if monotonic() > until_s or room.bytes > memory.limit:
                    raise
            self._resources.note_want()
            await asyncio.sleep(WATCH_S)
        gate = self.outbox.credit_gate
        if gate is not None and gate.backlog is not None and task.plan.image_format is ImageFormat.RAW_RGB:
            gate.backlog = max(1, min(gate.backlog, WAITING_BYTES // task.size.byte_count))
        return room

    async def _watch_reader(self) -> None:
        """Ends the session if its caller takes nothing; soon, if others wait for the memory that it holds."""
        taken, since_s = self.outbox.taken_count, monotonic()
        while True:
            await asyncio.sleep(WATCH_S)
            if taken != self.outbox.taken_count or not self.outbox.is_unread():
                taken, since_s = self.outbox.taken_count, monotonic()
            unread_s = monotonic() - since_s
            if unread_s > UNREAD_S and self._memory.size and self._resources.is_memory_wanted:
                message = (
                    f"nothing was read for {UNREAD_S:g} s while others wait for memory; read on, and resume the story"
                )
                reason = reasons.ERROR_REASON_SESSIONS_EXHAUSTED
                raise ResourceExhausted(message, reason=reason, retry_after_s=UNREAD_S)
            if unread_s > self._settings.credit_stall_s:
                message = f"nothing was read for {self._settings.credit_stall_s:g} s; read sooner, or grant less credit"
                raise DeadlineExceeded(message, reason=reasons.ERROR_REASON_CREDIT_STALLED)

    def _check_resume(self, plan: StoryPlan, digest: str) -> str:
        """Checks that a resumed story is the same, and takes its song from the cache. Returns the story's digest."""
        if plan.resume is None:
            return digest
        if plan.resume.story_digest != digest:
            message = "this song and config make another story; start it anew"
            raise FailedPrecondition(message, reason=reasons.ERROR_REASON_RESUME_MISMATCH, field="resume.story_digest")
        song = self._resources.song_cache.find(self._owner, plan.resume.song_digest)
        if song is not None and not self._song_file.length:
            self._song_file.link_cached(song, plan.resume.song_digest)
        return digest

    async def _cache_song(self, plan: StoryPlan) -> None:
        """Adds the whole song to the cache. Raises RESUME_MISMATCH if it is not the one that the caller announced."""
        await self._song_file.wait_until_complete()
        if self._song_file.is_cut:
            return
        announced = plan.resume.song_digest if plan.resume else ""
        if announced not in ("", self._song_file.digest):
            message = f"the song is another than {announced[:64]!r}; send the same one, or start anew"
            raise FailedPrecondition(message, reason=reasons.ERROR_REASON_RESUME_MISMATCH, field="resume.song_digest")
        if self._song_file.length:
            self._resources.song_cache.add(self._owner, self._song_file.digest, self._song_file.path)


def _first_refusal(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that the caller gets: a ServiceError if there is one, before other failures."""
    refused, other = failures.split(ServiceError)
    chosen: BaseException = refused or other or failures
    while isinstance(chosen, BaseExceptionGroup):
        chosen = chosen.exceptions[0]
    return chosen
