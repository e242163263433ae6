"""Tells one stored story: recalls what is stored of it, paints the rest, and stores that as it goes."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsing.audio import AudioError
from deepsing.telemetry.ids import session_id
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2 as base
from services.composer.backends.client import Backends
from services.composer.metrics import count_session
from services.composer.output.files import NAMES, StoryFiles
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.judge import BATCH, JudgeClient
from services.composer.session.config import parse_config, story_digest
from services.composer.session.messages import convert_audio_error
from services.composer.session.session import Session
from services.composer.settings import ComposerSettings
from services.composer.stored.finishing import build_files
from services.composer.stored.lease import Lease
from services.composer.stored.record import Segment
from services.composer.stored.segments import SegmentWriter, StoredFrames, read_segment
from services.composer.story.agreement import RunningAgreement
from services.composer.story.flashes import FlashCounter, FlashGuard, cell_luminance
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import encode_excerpt
from services.composer.upload.song_file import CHUNK_BYTES

__all__ = ["StoryJob", "build_paint_config"]

JUDGE_WAIT_S = 600.0  # for the last judgements: nobody waits for the story
LEAST_FRAMES = 8  # of a segment but the last: below a handful the encoder reorders frames otherwise


class StoryJob:
    """One composer's work on one story.

    Args:
        lease: of the story.
        folder: for files on the way; deleted by its owner.
    """

    def __init__(self, settings: ComposerSettings, backends: Backends, lease: Lease, folder: Path) -> None:
        self.settings, self.backends, self.lease, self.folder = settings, backends, lease, folder
        self.store = lease.store
        self.config = pb.StoryConfig.FromString(lease.record.config)
        self.plan = parse_config(self.config)
        self.song = folder / "song"
        self.agreement = (RunningAgreement(), RunningAgreement())
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="stored")  # none lets go of what another still writes
        self.videos: list[Path] = []
        self.flashes = self.next_seq = 0
        self.segment: SegmentWriter | None = None

    async def run(self) -> None:
        """Tells the story to its end, which the record says then.

        Raises:
            LeaseLost: it is somebody else's.
            ServiceError: it cannot be told, or not now. Either may come in groups.
        """
        try:
            await self._run()
        finally:
            if self.segment is not None:
                await self._run_in_thread(self.segment.abandon)
            await asyncio.to_thread(self.thread.shutdown)

    async def _run(self) -> None:
        record = self.lease.record
        await self.store.call(self.store.blocking.fetch, record.song, self.song)
        self.capabilities = await Capabilities.fetch(self.plan, self.backends)
        self.size = self.plan.size or self.capabilities.engine.native_size
        self.story_digest = story_digest(build_paint_config(self.config), self.capabilities.digests)
        if record.begun_with != self.story_digest:  # it is new, or was begun with other models
            record = await self.lease.update(begun_with=self.story_digest, segments=(), frames_total=0)
        other_kinds = tuple(kind for kind in self.plan.files if kind != pb.STORY_FILE_KIND_VIDEO)
        self.files = StoryFiles(
            self.folder, dataclasses.replace(self.plan, files=other_kinds), self.size, self.settings.encoder_threads
        )
        self.judge_client = JudgeClient(
            self.plan, self.capabilities.concepts, self.backends, self.settings, None, min_batch=BATCH
        )
        try:
            async with asyncio.TaskGroup() as group:
                sound = group.create_task(self._write_sound())
                self.judge_client.start(group)
                for segment in record.segments:
                    await self._restore_segment(segment)
                end = await self._paint_rest()
                await sound
                await self.judge_client.finish(JUDGE_WAIT_S)
            await self._store_files(end)
        finally:
            self.files.abandoned = True
            await self._run_in_thread(self.files.abandon)

    async def _write_sound(self) -> None:
        try:
            await asyncio.to_thread(self.files.write_sound, self.song)
        except AudioError as error:
            raise convert_audio_error(error) from error

    async def _restore_segment(self, segment: Segment) -> None:
        """Takes in frames that are stored."""
        path = self.folder / f"{segment.first:08}.zip"
        await self.store.call(self.store.blocking.fetch, segment.name, path)
        stored: StoredFrames = await asyncio.to_thread(read_segment, path)
        path.unlink()
        for frame in stored.frames:
            self.files.add_without_video(frame.digest, frame.tile, frame.info)
            await self._add_statistics(frame.info, frame.excerpt)
        self.videos.append(stored.video)
        self.flashes = stored.flashes
        self.next_seq = segment.first + segment.count

    async def _add_statistics(self, info: FrameInfo, excerpt: bytes) -> None:
        """Adds a frame to what is said of the story as a whole."""
        for axis, agreement in enumerate(self.agreement):
            agreement.add(info.target[axis], info.expected[axis])
        if excerpt:
            await self.judge_client.wait_for_room()
            self.judge_client.offer(excerpt, info)

    async def _paint_rest(self) -> pb.SessionEnd:
        """Has the rest painted, and stores it segment by segment."""
        first, rate = self.next_seq, self.plan.rate
        begin = FlashGuard.warmup_start(first, float(rate))  # a few frames more, so that flashes are counted right
        counter = FlashCounter(float(rate), begin)
        config = build_paint_config(self.config)
        if begin:
            config.resume.story_digest, config.resume.next_seq = self.story_digest, begin
        settings = dataclasses.replace(self.settings, judge_every_s=0.0)  # the judge is asked here
        session_id.set(self.lease.record.story_id)
        session = Session(settings, self.backends, session_id.get(), folder=self.folder, unlimited=True)
        self.began, self.painted = time.monotonic(), 0
        async with aclosing(count_session(session.run, self._iter_requests(config))) as responses:
            async for response in responses:
                if response.HasField("frame"):
                    info = _parse_frame(response.frame, rate)
                    form = (self.size.height_px, self.size.width_px, 3)
                    picture = np.frombuffer(response.frame.image, np.uint8).reshape(form)
                    counter.add(cell_luminance(picture))
                    self.flashes = max(self.flashes, counter.worst)
                    if info.seq >= first:
                        await self._add_frame(picture, info)
                elif response.HasField("heartbeat"):
                    total = response.heartbeat.frames_total
                    if total and total != self.lease.record.frames_total:
                        await self.lease.update(frames_total=total)
                elif response.HasField("session_end"):
                    await self._store_segment()
                    return response.session_end
        raise AssertionError("a session ends with its end")

    async def _iter_requests(self, config: pb.StoryConfig) -> AsyncIterator[pb.ComposeRequest]:
        yield pb.ComposeRequest(config=config)
        with self.song.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield pb.ComposeRequest(audio_chunk=chunk)
        yield pb.ComposeRequest(end_of_audio=pb.EndOfAudio())

    async def _add_frame(self, picture: NDArray[np.uint8], info: FrameInfo) -> None:
        """Adds a painted frame to its segment, and stores that one where it is full."""
        seen: bytes = await self._run_in_thread(self._write_frame, picture, info)
        await self._add_statistics(info, seen)
        self.painted += 1
        self.next_seq = info.seq + 1
        if self.next_seq % max(LEAST_FRAMES, round(self.plan.rate * self.settings.segment_s)) == 0:
            await self._store_segment()

    def _write_frame(self, picture: NDArray[np.uint8], info: FrameInfo) -> bytes:
        if self.segment is None:
            path, threads = self.folder / f"{info.seq:08}.zip", self.settings.encoder_threads
            self.segment = SegmentWriter(path, self.size.width_px, self.size.height_px, self.plan.rate, threads)
        digest = hashlib.sha256(picture.data).digest()
        seen = encode_excerpt(picture) if self.judge_client.sampler.selects(info.seq) else b""
        self.segment.add(picture, info, digest, seen)
        self.files.add_without_video(digest, picture, info)
        return seen

    async def _store_segment(self) -> None:
        """Stores the present segment, if there is one; it counts once the record names it."""
        segment = self.segment
        if segment is None:
            return
        assert self.files.sheet is not None
        first, record = segment.rows[0]["seq"], self.lease.record
        tiles = [(tile, info) for tile, info in self.files.sheet.tiles.kept if info.seq >= first]
        await self._run_in_thread(segment.close, tiles, self.flashes)
        name = f"{record.folder}{record.epoch}/{segment.path.name}"
        await self.store.call(self.store.blocking.put, name, segment.path)
        self.segment = None
        self.videos.append(segment.video.path)
        segment.path.unlink()
        speed = self.painted / max(1e-3, time.monotonic() - self.began)
        stored = (*record.segments, Segment(name, first, len(segment.rows)))
        await self.lease.update(segments=stored, frames_per_s=round(speed, 3))

    async def _store_files(self, end: pb.SessionEnd) -> None:
        """Makes the four files and stores them; the record names them last."""
        record = self.lease.record
        made = await self._run_in_thread(build_files, self, end)
        files = []
        for file, path in made:
            name = f"{record.folder}{record.epoch}/{NAMES[pb.StoryFileKind.ValueType(file.kind)]}"
            await self.store.call(self.store.blocking.put, name, path)
            files.append(dataclasses.replace(file, name=name))
        now = time.time()
        await self.lease.update(
            state="SUCCEEDED", files=tuple(files), ended_s=now, expires_s=now + self.settings.story_ttl_s, holder=""
        )
        for name in (record.song, *(segment.name for segment in self.lease.record.segments)):
            await self.store.call(self.store.blocking.delete, name)

    async def _run_in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, work, *arguments)


def build_paint_config(config: pb.StoryConfig) -> pb.StoryConfig:
    """The config of the session that paints a stored story: frames as they are, and no files."""
    session_config = pb.StoryConfig()
    session_config.CopyFrom(config)
    session_config.ClearField("files")
    session_config.image_format = base.IMAGE_FORMAT_RAW_RGB
    return session_config


def _parse_frame(painted: pb.Frame, rate: Fraction) -> FrameInfo:
    """What a frame shows, from its message."""
    return FrameInfo(
        seq=painted.seq,
        time_s=float(painted.seq / rate),
        target=(painted.target.arousal, painted.target.valence),
        expected=(painted.expected.arousal, painted.expected.valence),
        concepts=tuple((one.name, one.weight) for one in painted.concepts),
        styles=tuple((one.name, one.weight) for one in painted.styles),
    )
