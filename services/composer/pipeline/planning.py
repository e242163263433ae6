"""Plans a story without making its film: its keys, and a small picture of each."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import numpy as np

from deepsing.v1 import sentiment_pb2
from services.composer.backends.client import Backends
from services.composer.pipeline.analysis import AnalysisUpdate, SongAnalysis, gather_updates
from services.composer.pipeline.keys import KeyTranslator
from services.composer.pipeline.painting import build_picture_request, paint_pictures
from services.composer.pipeline.task import StoryTask
from services.composer.story.latents import FrameLatent, KeyLatent, LatentPath
from services.composer.story.plan import SHORTEST_SIDE_PX, Size, StoryboardKey
from services.composer.story.storyboard import ScriptedTimeline, arrange_keys
from services.composer.story.summary import SongInfo
from services.composer.story.timeline import Key, Timeline
from services.composer.upload.arrivals import ArrivalLog
from services.composer.upload.song_file import SongFile

__all__ = ["PlannedKey", "StoryPlanner"]

MOST_PICTURES = 512
MOST_BYTES = 5 * 2**19  # of all pictures together, so that the answer stays below the 4 MiB of a message
LARGER_PX, FEW_PICTURES, SMALLER_PX = 240, 128, 144  # longer side of the first FEW_PICTURES pictures, and of others
JPEG_QUALITY = 82
BATCH, IN_FLIGHT = 4, 2  # pictures a request, requests at a time


@dataclass(frozen=True)
class PlannedKey:
    """A key as the story will show it.

    Attributes:
        written: what it shows, as a storyboard says it; its motion is the story's where nothing is written.
        target, expected: (arousal, valence): of the music, and of these concepts by their ratings.
        image: JPEG; empty where there is none.
    """

    written: StoryboardKey
    target: tuple[float, float]
    expected: tuple[float, float]
    image: bytes = b""


class StoryPlanner:
    """Plans one story; pictures of its first keys are painted while the song is still analysed.

    Args:
        task: the story; it is of the whole song.
        song_file: its upload is complete.

    Attributes:
        song: facts of the song, once plan() has returned.
    """

    def __init__(self, task: StoryTask, song_file: SongFile, backends: Backends) -> None:
        self._task, self._plan, self._capabilities, self._backends = task, task.plan, task.capabilities, backends
        self._analysis = SongAnalysis(task, song_file, backends, ArrivalLog())
        self._timeline = Timeline(look_ahead=True, lag_s=task.capabilities.lag_s)
        self._translator = KeyTranslator(task, backends)
        self._locked: Mapping[int, StoryboardKey] = {}
        self._keys: list[tuple[Key, KeyLatent]] = []
        self._painted: list[FrameLatent] = []  # what the story paints at the time of each key
        self._painter = KeyPainter(task, backends)
        self.song: SongInfo | None = None

    async def plan(self) -> list[PlannedKey]:
        """All keys of the story; raises ServiceError as a story does."""
        try:
            async with aclosing(self._analysis.run()) as updates:
                async for update in gather_updates(updates) if self._plan.storyboard else updates:
                    await self._follow(update)
            self.song = self._analysis.song
            rest = range(min(FEW_PICTURES, len(self._painted)), len(self._painted))
            for place in choose_evenly(len(rest), MOST_PICTURES - FEW_PICTURES):
                self._painter.add(rest[place], self._painted[rest[place]], SMALLER_PX)
            images = await self._painter.collect()
        finally:
            await self._painter.close()
        return [self._describe(key, latent, images.get(place, b"")) for place, (key, latent) in enumerate(self._keys)]

    async def _follow(self, update: AnalysisUpdate) -> None:
        """Places the keys that are due by an update, and has those painted whose time is final."""
        if self._plan.storyboard:
            lag_s = self._capabilities.lag_s
            arranged = await asyncio.to_thread(arrange_keys, self._plan.storyboard, update.points, lag_s)
            self._timeline, self._locked = ScriptedTimeline(arranged.keys, lag_s), arranged.locked
            self._translator = KeyTranslator(self._task, self._backends, arranged.locked)
        for point in update.points:
            await self._place_keys(self._timeline.add(point))
        if update.last:
            await self._place_keys(self._timeline.finish())

    async def _place_keys(self, keys: list[Key]) -> None:
        for key in keys:
            self._keys.append((key, await self._translator.translate(key)))
        while len(self._painted) < len(self._keys):
            place = len(self._painted)
            key, latent = self._keys[place]
            if key.arrive_s >= self._timeline.ready_s:
                break
            moment = self._timeline.moment(key.arrive_s)
            path = LatentPath()
            path.add(key.index, latent)
            self._painted.append(path.latent_at(replace(moment, left=key.index, right=key.index, progress=0.0)))
            self._timeline.forget(key.arrive_s)
            if place < FEW_PICTURES:
                self._painter.add(place, self._painted[place], LARGER_PX)

    def _describe(self, key: Key, latent: KeyLatent, image: bytes) -> PlannedKey:
        names, style, written = self._capabilities.concepts, "none", self._locked.get(key.index)
        if latent.style.any():
            style = self._capabilities.styles[int(latent.style.argmax())]
        shares = latent.classes.argsort(kind="stable")[::-1][:2]
        concepts = tuple((names[place], float(latent.classes[place])) for place in shares if latent.classes[place])
        motion = written.motion if written and written.motion is not None else self._plan.motion
        shown = StoryboardKey(key.arrive_s, concepts, style, motion, locked=written is not None)
        target = self._plan.mood.shift(key.arousal, key.valence)
        return PlannedKey(shown, target, latent.expected, image)


class KeyPainter:
    """Has small pictures painted, some requests at a time, while further ones are added."""

    def __init__(self, task: StoryTask, backends: Backends) -> None:
        self._task, self._backends = task, backends
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._pending: list[tuple[int, FrameLatent]] = []
        self._pending_px = 0  # longer side of the pending ones
        self._requests: list[tuple[list[int], asyncio.Task[list[bytes]]]] = []

    def add(self, place: int, latent: FrameLatent, longer_px: int) -> None:
        """Adds a picture, with a longer side of so many pixels."""
        if len(self._pending) == BATCH or longer_px != self._pending_px:
            self._request()
        self._pending.append((place, latent))
        self._pending_px = longer_px

    async def collect(self) -> dict[int, bytes]:
        """Waits for all pictures; returns their JPEGs by place, without those that would be more than MOST_BYTES."""
        self._request()
        images, left = dict[int, bytes](), MOST_BYTES
        for places, request in self._requests:
            for place, image in zip(places, await request, strict=True):
                if len(image) <= left:
                    images[place], left = image, left - len(image)
        return images

    async def close(self) -> None:
        """Stops painting what is not painted yet."""
        for _, request in self._requests:
            request.cancel()
        await asyncio.gather(*(request for _, request in self._requests), return_exceptions=True)

    def _request(self) -> None:
        if self._pending:
            places, latents = [place for place, _ in self._pending], [latent for _, latent in self._pending]
            size = shrink_size(self._task.size, self._pending_px)
            self._requests.append((places, asyncio.create_task(self._generate(latents, size))))
            self._pending = []

    async def _generate(self, latents: Sequence[FrameLatent], size: Size) -> list[bytes]:
        request = build_picture_request(
            self._task, latents, size, image_format=sentiment_pb2.IMAGE_FORMAT_JPEG, jpeg_quality=JPEG_QUALITY
        )
        async with self._room:
            return list((await paint_pictures(self._task, self._backends, request)).images)


def shrink_size(size: Size, longer_px: int) -> Size:
    """A size of the same shape with a longer side of so many pixels; both sides are even, none below the contract's."""
    scale = longer_px / max(size.width_px, size.height_px)
    width_px, height_px = (
        max(SHORTEST_SIDE_PX, 2 * round(side * scale / 2)) for side in (size.width_px, size.height_px)
    )
    return Size(width_px, height_px)


def choose_evenly(count: int, most: int) -> list[int]:
    """Numbers of at most `most` of `count` things, evenly spread, with the first and the last."""
    return [round(place) for place in np.linspace(0, count - 1, min(count, most))]
