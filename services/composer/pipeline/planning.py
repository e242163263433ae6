"""Plans a story without making its film: its keys, and a small picture of each."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

import numpy as np

from deepsing.access.accounts import charge
from deepsing.v1 import generator_pb2, sentiment_pb2
from services.composer.backends.client import Backends
from services.composer.pipeline.analysis import SongAnalysis
from services.composer.pipeline.keys import KeyTranslator
from services.composer.pipeline.task import StoryTask
from services.composer.story.latents import FrameLatent, KeyLatent, LatentPath
from services.composer.story.plan import Size, StoryboardKey
from services.composer.story.storyboard import Arrangement, arrange_keys, iter_key_moments, plan_keys
from services.composer.story.summary import SongInfo
from services.composer.story.timeline import Key, Point
from services.composer.upload.arrivals import ArrivalLog
from services.composer.upload.song_file import SongFile

__all__ = ["PlannedKey", "StoryPlanner"]

MOST_PICTURES = 512
MOST_BYTES = 5 * 2**19  # of all pictures together, so that the answer stays below the 4 MiB of a message
SIDES_PX, FEW_PICTURES = (240, 144), 128  # longer side of up to FEW_PICTURES pictures, and of more
SHORTEST_SIDE_PX = 64  # of the contract
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
    """Plans one story.

    Args:
        task: the story; it is of the whole song.
        song_file: its upload is complete.

    Attributes:
        song: facts of the song, once plan() has returned.
    """

    def __init__(self, task: StoryTask, song_file: SongFile, backends: Backends) -> None:
        self._task, self._plan, self._capabilities, self._backends = task, task.plan, task.capabilities, backends
        self._analysis = SongAnalysis(task, song_file, backends, ArrivalLog())
        self.song: SongInfo | None = None

    async def plan(self) -> list[PlannedKey]:
        """All keys of the story; raises ServiceError as a story does."""
        points: list[Point] = []
        async with aclosing(self._analysis.run()) as updates:
            async for update in updates:
                points += update.points
        self.song = self._analysis.song
        arranged = await asyncio.to_thread(self._arrange, points)
        keys = KeyTranslator(self._task, self._backends, arranged.locked)
        latents = [await keys.translate(key) for key in arranged.keys]
        chosen = choose_evenly(len(latents), MOST_PICTURES)
        moments = await asyncio.to_thread(self._find_latents, points, arranged.keys, latents, chosen)
        images = dict.fromkeys(range(len(latents)), b"")
        async with aclosing(self._paint(moments)) as painted:
            left = MOST_BYTES
            async for place, image in painted:
                if len(image) <= left:
                    images[chosen[place]], left = image, left - len(image)
        return [
            self._describe(key, latent, arranged.locked.get(key.index), images[place])
            for place, (key, latent) in enumerate(zip(arranged.keys, latents, strict=True))
        ]

    def _arrange(self, points: Sequence[Point]) -> Arrangement:
        lag_s = self._capabilities.lag_s
        if self._plan.storyboard:
            return arrange_keys(self._plan.storyboard, points, lag_s)
        return Arrangement(plan_keys(points, lag_s), {})

    def _find_latents(
        self, points: Sequence[Point], keys: Sequence[Key], latents: Sequence[KeyLatent], chosen: Sequence[int]
    ) -> list[FrameLatent]:
        """What the story paints at the times of the chosen keys."""
        wanted, found = set(chosen), []
        for place, moment in enumerate(iter_key_moments(points, keys, self._capabilities.lag_s)):
            if place in wanted:
                path = LatentPath()
                path.add(keys[place].index, latents[place])
                found.append(path.latent_at(moment))
        return found

    async def _paint(self, latents: Sequence[FrameLatent]) -> AsyncGenerator[tuple[int, bytes]]:
        """Yields the number of each latent and its JPEG, in order."""
        size = shrink_size(self._task.size, SIDES_PX[len(latents) > FEW_PICTURES])
        waiting: list[asyncio.Task[list[bytes]]] = []
        done = 0
        try:
            for first in range(0, len(latents), BATCH):
                waiting.append(asyncio.create_task(self._generate(latents[first : first + BATCH], size)))
                if len(waiting) == IN_FLIGHT:
                    for image in await waiting.pop(0):
                        yield done, image
                        done += 1
            while waiting:
                for image in await waiting.pop(0):
                    yield done, image
                    done += 1
        finally:
            for task in waiting:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*waiting, return_exceptions=True)

    async def _generate(self, latents: Sequence[FrameLatent], size: Size) -> list[bytes]:
        request = generator_pb2.GenerateRequest(
            engine=self._plan.engine,
            frame_count=len(latents),
            class_weights=np.concatenate([latent.classes for latent in latents]).tolist(),
            noise=np.concatenate([latent.noise for latent in latents]).tolist(),
            truncation=self._plan.truncation,
            style_weights=np.concatenate([latent.style for latent in latents]).tolist(),
            size=sentiment_pb2.Size(width_px=size.width_px, height_px=size.height_px),
            image_format=sentiment_pb2.IMAGE_FORMAT_JPEG,
            jpeg_quality=JPEG_QUALITY,
            session_id=self._task.story_id,
        )
        answer = await self._backends.call(self._backends.generator.Generate, request, "generator", self._fits)
        charge(answer.compute_us / 1e6)
        return list(answer.images)

    def _fits(self, answer: generator_pb2.GenerateResponse) -> bool:
        return answer.engine_digest == self._capabilities.digests["engine"]

    def _describe(self, key: Key, latent: KeyLatent, written: StoryboardKey | None, image: bytes) -> PlannedKey:
        names, style = self._capabilities.concepts, "none"
        if latent.style.any():
            style = self._capabilities.styles[int(latent.style.argmax())]
        shares = latent.classes.argsort(kind="stable")[::-1][:2]
        concepts = tuple((names[place], float(latent.classes[place])) for place in shares if latent.classes[place])
        motion = written.motion if written and written.motion is not None else self._plan.motion
        shown = StoryboardKey(key.arrive_s, concepts, style, motion, locked=written is not None)
        target = self._plan.mood.shift(key.arousal, key.valence)
        return PlannedKey(shown, target, latent.expected, image)


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
