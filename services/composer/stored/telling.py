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
from services.composer.agreement import RunningAgreement
from services.composer.files import NAMES, StoryFiles
from services.composer.flashes import FlashCounter, FlashGuard, cells
from services.composer.messages import refusal_of
from services.composer.meters import metered
from services.composer.palette import Palette
from services.composer.peers import Peers
from services.composer.plan import plan_of, story_digest
from services.composer.reader import BATCH, Reader
from services.composer.readings import excerpt
from services.composer.session import Session
from services.composer.settings import ComposerSettings
from services.composer.spool import CHUNK_BYTES
from services.composer.stored.finishing import finished_files
from services.composer.stored.lease import Lease
from services.composer.stored.record import Segment
from services.composer.stored.segments import SegmentWriter, StoredFrames, read_segment
from services.composer.story import Shown

__all__ = ["Telling", "paint_config"]

JUDGE_WAIT_S = 600.0  # for the last readings: nobody waits for the story
LEAST_FRAMES = 8  # of a segment but the last: below a handful the encoder reorders frames otherwise


class Telling:
    """One composer's work on one story.

    Args:
        lease: of the story.
        folder: for files on the way; deleted by its owner.
    """

    def __init__(self, settings: ComposerSettings, peers: Peers, lease: Lease, folder: Path) -> None:
        self.settings, self.peers, self.lease, self.folder = settings, peers, lease, folder
        self.shelf = lease.shelf
        self.config = pb.StoryConfig.FromString(lease.record.config)
        self.plan = plan_of(self.config)
        self.song = folder / "song"
        self.agreement = (RunningAgreement(), RunningAgreement())
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="stored")  # none lets go of what another still writes
        self.videos: list[Path] = []
        self.flashes = self.next_seq = 0
        self.segment: SegmentWriter | None = None

    async def run(self) -> None:
        """Tells the story to its end, which the record says then.

        Raises:
            Lost: it is somebody else's.
            ServiceError: it cannot be told, or not now. Either may come in groups.
        """
        try:
            await self._run()
        finally:
            if self.segment is not None:
                await self._in_thread(self.segment.abandon)
            await asyncio.to_thread(self.thread.shutdown)

    async def _run(self) -> None:
        record = self.lease.record
        await self.shelf.do(self.shelf.store.fetch, record.song, self.song)
        self.palette = await Palette.of(self.plan, self.peers)
        self.size = self.plan.size or self.palette.engine.native_size
        self.story_digest = story_digest(paint_config(self.config), self.palette.digests)
        if record.begun_with != self.story_digest:  # it is new, or was begun with other models
            record = await self.lease.update(begun_with=self.story_digest, segments=(), frames_total=0)
        papers = tuple(kind for kind in self.plan.files if kind != pb.STORY_FILE_KIND_VIDEO)
        self.files = StoryFiles(
            self.folder, dataclasses.replace(self.plan, files=papers), self.size, self.settings.encoder_threads
        )
        self.reader = Reader(self.plan, self.palette.concepts, self.peers, self.settings, None, at_once=BATCH)
        try:
            async with asyncio.TaskGroup() as group:
                sound = group.create_task(self._sound())
                self.reader.start(group)
                for segment in record.segments:
                    await self._recall(segment)
                end = await self._paint()
                await sound
                await self.reader.finish(JUDGE_WAIT_S)
            await self._finish(end)
        finally:
            self.files.abandoned = True
            await self._in_thread(self.files.abandon)

    async def _sound(self) -> None:
        try:
            await asyncio.to_thread(self.files.sound, self.song)
        except AudioError as error:
            raise refusal_of(error) from error

    async def _recall(self, segment: Segment) -> None:
        """Takes in frames that are stored."""
        path = self.folder / f"{segment.first:08}.zip"
        await self.shelf.do(self.shelf.store.fetch, segment.name, path)
        stored: StoredFrames = await asyncio.to_thread(read_segment, path)
        path.unlink()
        for frame in stored.frames:
            self.files.note(frame.digest, frame.tile, frame.shown)
            await self._weigh(frame.shown, frame.excerpt)
        self.videos.append(stored.video)
        self.flashes = stored.flashes
        self.next_seq = segment.first + segment.count

    async def _weigh(self, shown: Shown, excerpt: bytes) -> None:
        """Adds a frame to what is said of the story as a whole."""
        for axis, agreement in enumerate(self.agreement):
            agreement.add(shown.target[axis], shown.expected[axis])
        if excerpt:
            await self.reader.has_room()
            self.reader.offer(excerpt, shown)

    async def _paint(self) -> pb.SessionEnd:
        """Has the rest painted, and stores it segment by segment."""
        first, rate = self.next_seq, self.plan.rate
        begin = FlashGuard.settled_from(first, float(rate))  # a few frames more, so that flashes are counted right
        counter = FlashCounter(float(rate), begin)
        config = paint_config(self.config)
        if begin:
            config.resume.story_digest, config.resume.next_seq = self.story_digest, begin
        settings = dataclasses.replace(self.settings, judge_every_s=0.0)  # the judge is asked here
        session_id.set(self.lease.record.story_id)
        session = Session(settings, self.peers, session_id.get(), folder=self.folder, unlimited=True)
        self.began, self.painted = time.monotonic(), 0
        async with aclosing(metered(session.run, self._requests(config))) as responses:
            async for response in responses:
                if response.HasField("frame"):
                    shown = _shown_of(response.frame, rate)
                    form = (self.size.height_px, self.size.width_px, 3)
                    picture = np.frombuffer(response.frame.image, np.uint8).reshape(form)
                    counter.add(cells(picture))
                    self.flashes = max(self.flashes, counter.worst)
                    if shown.seq >= first:
                        await self._take(picture, shown)
                elif response.HasField("heartbeat"):
                    total = response.heartbeat.frames_total
                    if total and total != self.lease.record.frames_total:
                        await self.lease.update(frames_total=total)
                elif response.HasField("session_end"):
                    await self._store()
                    return response.session_end
        raise AssertionError("a session ends with its end")

    async def _requests(self, config: pb.StoryConfig) -> AsyncIterator[pb.ComposeRequest]:
        yield pb.ComposeRequest(config=config)
        with self.song.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield pb.ComposeRequest(audio_chunk=chunk)
        yield pb.ComposeRequest(end_of_audio=pb.EndOfAudio())

    async def _take(self, picture: NDArray[np.uint8], shown: Shown) -> None:
        """Adds a painted frame to its segment, and stores that one where it is full."""
        seen: bytes = await self._in_thread(self._write, picture, shown)
        await self._weigh(shown, seen)
        self.painted += 1
        self.next_seq = shown.seq + 1
        if self.next_seq % max(LEAST_FRAMES, round(self.plan.rate * self.settings.segment_s)) == 0:
            await self._store()

    def _write(self, picture: NDArray[np.uint8], shown: Shown) -> bytes:
        if self.segment is None:
            path, threads = self.folder / f"{shown.seq:08}.zip", self.settings.encoder_threads
            self.segment = SegmentWriter(path, self.size.width_px, self.size.height_px, self.plan.rate, threads)
        digest = hashlib.sha256(picture.data).digest()
        seen = excerpt(picture) if self.reader.sampling.takes(shown.seq) else b""
        self.segment.add(picture, shown, digest, seen)
        self.files.note(digest, picture, shown)
        return seen

    async def _store(self) -> None:
        """Stores the present segment, if there is one; it counts once the record names it."""
        segment = self.segment
        if segment is None:
            return
        assert self.files.sheet is not None
        first, record = segment.rows[0]["seq"], self.lease.record
        tiles = [(tile, shown) for tile, shown in self.files.sheet.tiles.kept if shown.seq >= first]
        await self._in_thread(segment.close, tiles, self.flashes)
        name = f"{record.folder}{record.epoch}/{segment.path.name}"
        await self.shelf.do(self.shelf.store.put, name, segment.path)
        self.segment = None
        self.videos.append(segment.video.path)
        segment.path.unlink()
        speed = self.painted / max(1e-3, time.monotonic() - self.began)
        stored = (*record.segments, Segment(name, first, len(segment.rows)))
        await self.lease.update(segments=stored, frames_per_s=round(speed, 3))

    async def _finish(self, end: pb.SessionEnd) -> None:
        """Makes the four files and stores them; the record names them last."""
        record = self.lease.record
        made = await self._in_thread(finished_files, self, end)
        files = []
        for file, path in made:
            name = f"{record.folder}{record.epoch}/{NAMES[pb.StoryFileKind.ValueType(file.kind)]}"
            await self.shelf.do(self.shelf.store.put, name, path)
            files.append(dataclasses.replace(file, name=name))
        now = time.time()
        await self.lease.update(
            state="SUCCEEDED", files=tuple(files), ended_s=now, expires_s=now + self.settings.story_ttl_s, holder=""
        )
        for name in (record.song, *(segment.name for segment in self.lease.record.segments)):
            await self.shelf.do(self.shelf.store.delete, name)

    async def _in_thread(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, work, *arguments)


def paint_config(config: pb.StoryConfig) -> pb.StoryConfig:
    """The config of the session that paints a stored story: frames as they are, and no files."""
    painted = pb.StoryConfig()
    painted.CopyFrom(config)
    painted.ClearField("files")
    painted.image_format = base.IMAGE_FORMAT_RAW_RGB
    return painted


def _shown_of(painted: pb.Frame, rate: Fraction) -> Shown:
    """What a frame shows, from its message."""
    return Shown(
        seq=painted.seq,
        time_s=float(painted.seq / rate),
        target=(painted.target.arousal, painted.target.valence),
        expected=(painted.expected.arousal, painted.expected.valence),
        concepts=tuple((one.name, one.weight) for one in painted.concepts),
        styles=tuple((one.name, one.weight) for one in painted.styles),
    )
