"""Delivers one story to its caller: turns the pipeline's events into messages and files, and sends them."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from time import monotonic
from typing import Any

from deepsing.audio import AudioError
from deepsing.runtime.byte_budget import ByteShare
from deepsing.runtime.fair_threads import Pause
from deepsing.v1 import composer_pb2 as pb
from services.composer.output.files import StoryFiles
from services.composer.pipeline.analysis import AnalysisUpdate
from services.composer.pipeline.frames import FrameBatch
from services.composer.pipeline.pipeline import FramesComplete, StoryEvent, StoryPipeline
from services.composer.pipeline.task import StoryTask
from services.composer.session.credit import CreditGate
from services.composer.session.messages import (
    build_achieved_point,
    build_affect_point,
    build_frame,
    build_session_end,
    convert_audio_error,
    iter_file_chunks,
)
from services.composer.session.outbox import Outbox
from services.composer.story.frame import FrameInfo
from services.composer.story.plan import FileKind
from services.composer.upload.song_file import SongFile

__all__ = ["Delivery", "FileRoom"]

HEARTBEAT_INTERVAL_S = 0.5  # at least, between heartbeats while frames are made


@dataclasses.dataclass(frozen=True)
class FileRoom:
    """Where the files of a story are written, and what they may take.

    Attributes:
        files: of the story.
        disk: share of the disk that grows with them.
        decode: runs what decodes the song, in turns with other callers; see `Resources.decode`.
    """

    files: StoryFiles
    disk: ByteShare
    decode: Callable[[Callable[[Pause], None]], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class _RawFrame:
    """A frame that waits for credit; its message would copy the picture. See `LateFrame`."""

    info: FrameInfo
    image: memoryview

    @property
    def seq(self) -> int:
        return self.info.seq

    @property
    def pts_us(self) -> int:
        return round(self.info.time_s * 1e6)

    def build(self) -> pb.Frame:
        return build_frame(self.info, self.image.tobytes())


class Delivery:
    """Sends one story to its caller.

    Args:
        task: the story.
        song_file: its song.
        room: for its files, which are written to the song's folder.
        outbox: queue of messages to the caller, with the session's credit gate.
        heartbeat: kept up to date with the session's phase and progress.
    """

    def __init__(
        self, task: StoryTask, song_file: SongFile, room: FileRoom, outbox: Outbox, heartbeat: pb.Heartbeat
    ) -> None:
        self._task, self._plan, self._song_file = task, task.plan, song_file
        self._outbox, self._heartbeat, self._heartbeat_at = outbox, heartbeat, monotonic()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="story")  # one thread writes files, in order
        self._room, self._files, self._file_bytes = room, room.files, 0
        self._sound: asyncio.Task[None] | None = None

    @property
    def _credit_gate(self) -> CreditGate:
        assert self._outbox.credit_gate is not None
        return self._outbox.credit_gate

    async def run(self, pipeline: StoryPipeline, group: asyncio.TaskGroup) -> None:
        """Sends all events of the pipeline, then the files, then SessionEnd."""
        if FileKind.VIDEO in self._plan.files:
            self._sound = group.create_task(self._write_sound())
        async with aclosing(pipeline.run(group, self._wait_for_credit)) as events:
            async for event in events:
                await self._send(event)
        await self._finish(pipeline)

    async def close(self) -> None:
        """Stops writing, and removes unfinished files."""
        self._files.stop_sound()
        await self._run_in_thread(self._files.abandon)
        await asyncio.to_thread(self._thread.shutdown)

    async def _send(self, event: StoryEvent) -> None:
        if isinstance(event, FrameBatch):
            await self._send_batch(event)
        elif isinstance(event, AnalysisUpdate):
            if event.last:
                self._heartbeat.frames_total = event.frames
            for point in event.shown:
                await self._outbox.put(pb.ComposeResponse(affect_point=build_affect_point(point)))
        elif isinstance(event, FramesComplete):
            self._heartbeat.phase = pb.PHASE_FINISHING
            await self._send_heartbeat()
            await self._outbox.drain()
        elif self._plan.send_achieved:
            await self._outbox.put(pb.ComposeResponse(achieved_point=build_achieved_point(event)))

    async def _send_batch(self, batch: FrameBatch) -> None:
        """Adds a batch of frames to the files, queues it for the caller, and sends a heartbeat if one is due."""
        self._heartbeat.phase = pb.PHASE_PAINTING
        if batch.skipped:
            self._credit_gate.skip(batch.skipped.start, len(batch.skipped))
            await self._outbox.release()
        images = await self._run_in_thread(self._files.add, batch.pictures, batch.infos)
        for info, image in zip(batch.infos, images, strict=True):
            self._heartbeat.frames_done = info.seq + 1
            if self._plan.shows_frames:
                self._credit_gate.offer(
                    build_frame(info, image) if isinstance(image, bytes) else _RawFrame(info, image)
                )
        await self._outbox.release()
        if self._plan.files:
            await self._count_files()
        if monotonic() - self._heartbeat_at > HEARTBEAT_INTERVAL_S:
            await self._send_heartbeat()

    async def _count_files(self) -> None:
        """Takes as much of the disk as the files have grown. Raises ResourceExhausted DISK_FULL."""
        now = await self._run_in_thread(lambda: self._files.byte_count) - self._song_file.length
        self._room.disk.resize(self._room.disk.size + max(0, now) - self._file_bytes)
        self._file_bytes = max(0, now)

    async def _wait_for_credit(self) -> None:
        """Offline: waits until all queued frames can be sent. Live: returns at once; frames are dropped instead."""
        gate = self._credit_gate
        while gate.backlog is None and gate.waiting:
            self._heartbeat.phase = pb.PHASE_WAITING_FOR_CREDIT
            await gate.wait_for_credit()
            await self._outbox.release()

    async def _send_heartbeat(self) -> None:
        self._heartbeat_at, self._heartbeat.lag_us = monotonic(), round(self._credit_gate.lag_s * 1e6)
        await self._outbox.put(pb.ComposeResponse(heartbeat=self._heartbeat))

    async def _write_sound(self) -> None:
        """Encodes the sound of the video, once the whole song has arrived."""
        await self._song_file.wait_until_complete()
        song = self._song_file.path
        try:
            await self._room.decode(lambda pause: self._files.write_sound(song, pause))
        except AudioError as error:
            raise convert_audio_error(error) from error

    async def _finish(self, pipeline: StoryPipeline) -> None:
        """Finishes the files, sends them, and ends the session."""
        await self._song_file.wait_until_complete()
        if self._sound is not None:
            await self._sound
        dropped = self._credit_gate.dropped_count
        whole = not dropped and not self._task.first_seq
        summary = dataclasses.replace(
            pipeline.summarize(),
            song_digest=self._song_file.digest,
            dropped_count=dropped,
            frames_digest=self._files.frames_digest if whole else "",
        )
        finish = self._files.finish
        paths = await self._run_in_thread(finish, summary, pipeline.judgements, self._task.story_id)
        for kind, path in paths.items():
            for piece in iter_file_chunks(kind, path):
                await self._outbox.put(pb.ComposeResponse(story_file_chunk=piece))
        await self._outbox.put(pb.ComposeResponse(session_end=build_session_end(summary)))

    async def _run_in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
