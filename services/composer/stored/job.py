"""Makes one stored story: restores the segments that are stored, makes the rest, and stores it segment by segment."""

import asyncio
import dataclasses
import hashlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsing.audio import AudioError
from deepsing.telemetry.ids import session_id
from deepsing.v1 import composer_pb2 as pb
from services.composer.backends.client import Backends
from services.composer.metrics import StoryMetrics
from services.composer.output.files import StoryFiles
from services.composer.pipeline.analysis import AnalysisUpdate
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.frames import FrameBatch
from services.composer.pipeline.pipeline import StoryPipeline
from services.composer.pipeline.task import StoryTask
from services.composer.session.config import parse_config, story_digest
from services.composer.session.messages import build_file_kind, convert_audio_error
from services.composer.settings import ComposerSettings
from services.composer.stored.attempt import Attempt
from services.composer.stored.record import File, Record, Segment
from services.composer.stored.segments import (
    SegmentWriter,
    StoredFrames,
    compute_file_digest,
    is_whole_segment,
    read_segment,
)
from services.composer.stored.store import NotFound
from services.composer.story.frame import FrameInfo
from services.composer.story.plan import FileKind, StoryPlan
from services.composer.story.summary import StorySummary
from services.composer.upload.song_file import SongFile

__all__ = ["StoryJob"]

LEAST_FRAMES = 8  # of every segment but the last: the encoder reorders frames differently in shorter ones
logger = logging.getLogger(__name__)


class StoryJob:
    """One composer's work on one story.

    Args:
        attempt: this composer's attempt at the story.
        folder: for temporary files; the caller deletes it.
    """

    def __init__(self, settings: ComposerSettings, backends: Backends, attempt: Attempt, folder: Path) -> None:
        self._settings, self._backends, self._attempt, self._folder = settings, backends, attempt, folder
        self._store = attempt.store
        self._config = pb.StoryConfig.FromString(attempt.record.config)
        self._plan = parse_config(self._config)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stored")  # only one: files are closed after writing
        self._videos: list[Path] = []
        self._segment: SegmentWriter | None = None
        self._flashes = self._painted = 0
        self._began = time.monotonic()

    async def run(self) -> None:
        """Makes the story and records that it succeeded.

        Raises:
            AttemptLost: another composer has the story now, or it was cancelled.
            ServiceError: it cannot be made, or not now. Both may be wrapped in an ExceptionGroup.
        """
        session_id.set(self._attempt.record.story_id)
        try:
            await self._run()
        finally:
            if self._segment is not None:
                await self._run_in_thread(self._segment.abandon)
            await asyncio.to_thread(self._thread.shutdown)

    async def _run(self) -> None:
        record = self._attempt.record
        song = self._folder / "song"
        await self._store.call(self._store.blocking.fetch, record.song, song)
        capabilities = await Capabilities.fetch(self._plan, self._backends)
        digest = story_digest(self._config, capabilities.digests, capabilities.paint_rate)
        if record.begun_with != digest:  # new, or begun with other models: start from frame 0
            record = await self._attempt.update(begun_with=digest, segments=(), frames_total=0)
        record = await self._fetch_segments()
        task = StoryTask(self._plan, capabilities, record.story_id, record.frames_done, judge_all=True)
        files = StoryFiles(self._folder, _without_video(self._plan), task.size, self._settings.encoder_threads)
        try:
            await self._make(task, files, song)
        finally:
            files.stop_sound()
            await self._run_in_thread(files.abandon)

    async def _fetch_segments(self) -> Record:
        """Fetches the stored segments into the folder. The first that is damaged or missing, and those after it, go."""
        record = self._attempt.record
        for place, segment in enumerate(record.segments):
            path = self._segment_path(segment.first)
            try:
                await self._store.call(self._store.blocking.fetch, segment.name, path)
                is_whole = await asyncio.to_thread(is_whole_segment, path, segment.digest)
            except NotFound:
                is_whole = False
            if not is_whole:
                logger.warning("%s is damaged or missing: its frames are painted again", segment.name)
                return await self._attempt.update(segments=record.segments[:place])
        return record

    def _segment_path(self, first: int) -> Path:
        return self._folder / f"{first:08}.zip"

    async def _make(self, task: StoryTask, files: StoryFiles, song: Path) -> None:
        song_file = await asyncio.to_thread(SongFile.whole, song)
        try:
            pipeline = StoryPipeline(task, song_file, self._backends, self._settings)
            async with asyncio.TaskGroup() as group:
                sound = group.create_task(_write_sound(files, song))
                await self._make_frames(task, pipeline, files, group)
                await sound
        finally:
            song_file.close()
        summary = dataclasses.replace(
            pipeline.summarize(),
            song_digest=song_file.digest,
            frames_digest=files.frames_digest,
            flashes_per_second=self._flashes,
        )
        paths = await self._run_in_thread(self._finish_files, files, summary, pipeline)
        await self._store_files(paths)

    async def _make_frames(
        self, task: StoryTask, pipeline: StoryPipeline, files: StoryFiles, group: asyncio.TaskGroup
    ) -> None:
        """Restores the stored frames, then makes and stores the rest."""
        async with aclosing(pipeline.run(group)) as events:
            for segment in self._attempt.record.segments:
                await self._restore_segment(segment, pipeline, files)
            self._began = time.monotonic()
            with StoryMetrics() as metrics:
                metrics.count_config(live=False, resumed_at=task.first_seq or None)
                async for event in events:
                    if isinstance(event, FrameBatch):
                        self._flashes = max(self._flashes, pipeline.flashes_per_second)
                        await self._add_batch(event, task, files)
                        metrics.count_made(event.infos[-1].seq + 1 if event.infos else 0)
                    elif isinstance(event, AnalysisUpdate) and event.last:
                        await self._attempt.update(frames_total=event.frames)
                await self._store_segment(files)
                summary = pipeline.summarize()
                judged_r = (summary.judged.arousal.r, summary.judged.valence.r) if summary.judged else None
                metrics.count_end(summary.frame_count, judged_r)

    async def _restore_segment(self, segment: Segment, pipeline: StoryPipeline, files: StoryFiles) -> None:
        path = self._segment_path(segment.first)
        stored: StoredFrames = await asyncio.to_thread(read_segment, path)
        path.unlink()
        for frame in stored.frames:
            files.add_without_video(frame.digest, frame.tile, frame.info)
            await pipeline.restore(frame.info, frame.excerpt)
        self._videos.append(stored.video)
        self._flashes = stored.flashes

    async def _add_batch(self, batch: FrameBatch, task: StoryTask, files: StoryFiles) -> None:
        """Adds frames to the current segment, and stores the segment when it is full."""
        segment_frames = max(LEAST_FRAMES, round(self._plan.rate * self._settings.segment_s))
        for picture, info in zip(batch.pictures, batch.infos, strict=True):
            excerpt = batch.excerpts.get(info.seq, b"")
            await self._run_in_thread(self._write_frame, picture, info, excerpt, task, files)
            self._painted += 1
            if (info.seq + 1) % segment_frames == 0:
                await self._store_segment(files)

    def _write_frame(
        self, picture: NDArray[np.uint8], info: FrameInfo, excerpt: bytes, task: StoryTask, files: StoryFiles
    ) -> None:
        if self._segment is None:
            path, threads = self._segment_path(info.seq), self._settings.encoder_threads
            width_px, height_px = task.size.width_px, task.size.height_px
            self._segment = SegmentWriter(path, width_px, height_px, self._plan.rate, threads)
        digest = hashlib.sha256(picture.data).digest()
        self._segment.add(picture, info, digest, excerpt)
        files.add_without_video(digest, picture, info)

    async def _store_segment(self, files: StoryFiles) -> None:
        """Stores the current segment, if any; it is valid once the record names it."""
        segment = self._segment
        if segment is None:
            return
        assert files.contact_sheet is not None
        first, record = segment.rows[0]["seq"], self._attempt.record
        tiles = [(tile, info) for tile, info in files.contact_sheet.tiles.kept if info.seq >= first]
        await self._run_in_thread(segment.close, tiles, self._flashes)
        name = f"{record.folder}{record.epoch}/{segment.path.name}"
        await self._store.call(self._store.blocking.put, name, segment.path)
        self._segment = None
        self._videos.append(segment.video.path)
        digest = await asyncio.to_thread(compute_file_digest, segment.path)
        segment.path.unlink()
        speed = self._painted / max(1e-3, time.monotonic() - self._began)
        stored = (*record.segments, Segment(name, first, len(segment.rows), digest))
        await self._attempt.update(segments=stored, frames_per_s=round(speed, 3), losses=0)

    def _finish_files(
        self, files: StoryFiles, summary: StorySummary, pipeline: StoryPipeline
    ) -> list[tuple[File, Path]]:
        """Writes the files; blocks. Returns them in the order of the plan; their object names are still empty."""
        paths = files.finish(summary, pipeline.judgements, self._attempt.record.story_id)
        paths[FileKind.VIDEO] = files.join_video(self._videos)
        return [(_describe_file(kind, paths[kind]), paths[kind]) for kind in self._plan.files]

    async def _store_files(self, made: list[tuple[File, Path]]) -> None:
        """Stores the finished files, then records them, then deletes the song and the segments."""
        record = self._attempt.record
        files = []
        for file, path in made:
            name = f"{record.folder}{record.epoch}/{path.name}"
            await self._store.call(self._store.blocking.put, name, path)
            files.append(dataclasses.replace(file, name=name))
        now = time.time()
        expires_s = now + self._settings.story_ttl_s
        await self._attempt.update(state="SUCCEEDED", files=tuple(files), ended_s=now, expires_s=expires_s)
        for name in (record.song, *(segment.name for segment in self._attempt.record.segments)):
            await self._store.call(self._store.blocking.delete, name)

    async def _run_in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _without_video(plan: StoryPlan) -> StoryPlan:
    """The plan without the video, which is joined from the segments' videos instead."""
    return dataclasses.replace(plan, files=tuple(kind for kind in plan.files if kind is not FileKind.VIDEO))


async def _write_sound(files: StoryFiles, song: Path) -> None:
    try:
        await asyncio.to_thread(files.write_sound, song)
    except AudioError as error:
        raise convert_audio_error(error) from error


def _describe_file(kind: FileKind, path: Path) -> File:
    return File("", build_file_kind(kind), path.stat().st_size, compute_file_digest(path))
