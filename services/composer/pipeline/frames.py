"""Turns sentiments into finished frames, in order; several batches are requested from the generator at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from deepsing.access.accounts import charge
from deepsing.v1 import generator_pb2, sentiment_pb2, translator_pb2
from services.composer.backends.client import BATCH_BYTES, Backends
from services.composer.pipeline.analysis import AnalysisUpdate
from services.composer.pipeline.task import StoryTask
from services.composer.story.flashes import FlashGuard
from services.composer.story.frame import FrameInfo
from services.composer.story.latents import FrameLatent, KeyLatent, KinMemory, LatentPath
from services.composer.story.styles import StyleChooser
from services.composer.story.timeline import Key, Timeline

__all__ = ["FrameScheduler", "FrameBatch"]

RECENT_KEYS = 64  # the translator gets the concepts of this many keys (its limit) and avoids them
MIN_NAMED_WEIGHT = 0.01  # concepts and styles with smaller weights are not reported


@dataclass(frozen=True)
class FrameBatch:
    """Finished frames in order, or the numbers of frames that were skipped.

    Attributes:
        pictures: (height, width, 3) uint8 each.
        infos: what each picture shows.
        skipped: numbers of frames that were never painted, because they would have been late.
        excerpts: JPEG for the judge, by number of each frame that is to be judged; empty in a session, whose frames do
            not wait for excerpts.
    """

    pictures: list[NDArray[np.uint8]]
    infos: list[FrameInfo]
    skipped: range = range(0)
    excerpts: dict[int, bytes] = field(default_factory=dict)


class FrameScheduler:
    """Plans the frames of one story and has the generator paint them.

    Args:
        batch: frames per request, at most.
        in_flight: requests at a time, at most.
    """

    def __init__(self, task: StoryTask, backends: Backends, batch: int, in_flight: int) -> None:
        self._task, self._backends, self._in_flight = task, backends, in_flight
        self._plan, self._capabilities, self._size = task.plan, task.capabilities, task.size
        self._timeline = Timeline(look_ahead=not task.plan.live, lag_s=task.capabilities.lag_s)
        self._path, self._kin = LatentPath(), KinMemory()
        self._recent: deque[int] = deque(maxlen=RECENT_KEYS)
        self._styles = StyleChooser(task.capabilities.style_sentiments)
        self._batch = max(1, min(batch, BATCH_BYTES // (self._size.width_px * self._size.height_px * 3)))
        rate = float(task.plan.rate)
        begin = counted_from = FlashGuard.warmup_start(task.first_seq, rate)
        if task.judge_all:  # a stored story, in whose manifest flashes are counted as in an uninterrupted one
            begin = FlashGuard.warmup_start(begin, rate)
        self._guard = FlashGuard(rate, begin, counted_from)
        self._planned = begin  # number of the next frame to plan
        self._pending: list[tuple[FrameLatent, FrameInfo]] = []
        self._waiting: deque[tuple[asyncio.Task[list[bytes]], list[FrameInfo]]] = deque()

    @property
    def flashes_per_second(self) -> int:
        """Most general flashes in any second so far."""
        return self._guard.worst

    async def run(self, updates: AsyncIterator[AnalysisUpdate]) -> AsyncGenerator[FrameBatch]:
        """Yields batches of frames in order until the song has ended and all frames are painted."""
        try:
            async for update in updates:
                for point in update.points:
                    await self._place_keys(self._timeline.add(point))
                    async for batch in self._advance(update.frames):
                        yield batch
                if update.last:
                    await self._place_keys(self._timeline.finish())
                if update.last or not update.points:
                    async for batch in self._advance(update.frames):
                        yield batch
            while self._waiting:
                yield await self._collect()
        finally:
            for task, _ in self._waiting:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*(task for task, _ in self._waiting), return_exceptions=True)

    async def _place_keys(self, keys: list[Key]) -> None:
        """Places a point in latent space for each key: that of its kin, or one that the translator chooses."""
        for key in keys:
            style = self._style_weights(key)
            latent = self._kin.recall(key, style) or await self._translate(key, style)
            self._kin.add(key, latent)
            self._recent.append(int(latent.classes.argmax()))
            self._path.add(key.index, latent)

    async def _translate(self, key: Key, style: NDArray[np.float32]) -> KeyLatent:
        request = translator_pb2.TranslateRequest(
            translator=self._plan.translator,
            engine=self._plan.engine,
            seed=self._plan.seed,
            first_index=self._kin.find_draw(key),
            sentiments=[sentiment_pb2.Sentiment(arousal=key.arousal, valence=key.valence)],
            recent_concepts=self._recent,
        )
        answer = await self._backends.call(self._backends.translator.Translate, request, "translator", self._fits)
        expected = answer.expected[0]
        return KeyLatent(
            classes=np.array(answer.class_weights, np.float32),
            noise=np.array(answer.noise, np.float32),
            style=style,
            expected=(expected.arousal, expected.valence),
        )

    def _fits(self, answer: translator_pb2.TranslateResponse | generator_pb2.GenerateResponse) -> bool:
        """Whether the answer is from the models that the story began with; during a roll-out, replicas differ."""
        digests = self._capabilities.digests
        if isinstance(answer, generator_pb2.GenerateResponse):
            return answer.engine_digest == digests["engine"]
        return answer.model_digest == digests["translator"]

    def _style_weights(self, key: Key) -> NDArray[np.float32]:
        if self._plan.style == "none":
            return np.zeros(0, np.float32)
        weights = np.zeros(len(self._capabilities.styles), np.float32)
        if self._plan.style == "auto":
            chosen = self._styles.choose(key.arousal, key.valence, key.arrive_s)
        else:
            chosen = self._capabilities.styles.index(self._plan.style)
        weights[chosen] = self._plan.style_strength
        return weights

    async def _advance(self, frames: int) -> AsyncGenerator[FrameBatch]:
        """Plans those of the first `frames` frames that are final, requests them, and yields finished batches."""
        rate, ready_s = self._plan.rate, self._timeline.ready_s
        settled = frames if self._timeline.finished else min(frames, ceil(Fraction(ready_s) * rate))
        while self._planned < settled:
            self._pending.append(self._plan_frame(self._planned, self._planned / rate))
            self._planned += 1
            if len(self._pending) == self._batch:
                self._request_batch()
                while len(self._waiting) >= self._in_flight:
                    yield await self._collect()
        if self._pending and self._timeline.finished:
            self._request_batch()
        while self._waiting and self._waiting[0][0].done():
            yield await self._collect()
        self._timeline.forget(min(float(self._planned / rate), ready_s))

    def _plan_frame(self, seq: int, time_s: Fraction) -> tuple[FrameLatent, FrameInfo]:
        at_s = float(time_s)
        moment = self._timeline.moment(at_s)
        latent = self._path.latent_at(moment)
        info = FrameInfo(
            seq=seq,
            time_s=at_s,
            target=(moment.arousal, moment.valence),
            expected=latent.expected,
            concepts=_rank_weights(self._capabilities.concepts, latent.classes),
            styles=_rank_weights(self._capabilities.styles, latent.style),
        )
        return latent, info

    def _request_batch(self) -> None:
        """Requests the pending frames from the generator."""
        latents = [latent for latent, _ in self._pending]
        request = generator_pb2.GenerateRequest(
            engine=self._plan.engine,
            frame_count=len(latents),
            # protobuf copies a list five times as fast as an array.
            class_weights=np.concatenate([latent.classes for latent in latents]).tolist(),
            noise=np.concatenate([latent.noise for latent in latents]).tolist(),
            truncation=self._plan.truncation,
            style_weights=np.concatenate([latent.style for latent in latents]).tolist(),
            size=sentiment_pb2.Size(width_px=self._size.width_px, height_px=self._size.height_px),
            image_format=sentiment_pb2.IMAGE_FORMAT_RAW_RGB,
            priority=generator_pb2.PRIORITY_LIVE if self._plan.live else generator_pb2.PRIORITY_OFFLINE,
            session_id=self._task.story_id,
        )
        task = asyncio.create_task(self._generate(request))
        self._waiting.append((task, [info for _, info in self._pending]))
        self._pending = []

    async def _generate(self, request: generator_pb2.GenerateRequest) -> list[bytes]:
        answer = await self._backends.call(self._backends.generator.Generate, request, "generator", self._fits)
        self._backends.pace.record(answer.compute_us / request.frame_count)
        charge(answer.compute_us / 1e6)
        return list(answer.images)

    async def _collect(self) -> FrameBatch:
        """Waits for the oldest request; returns its frames, with flashes filtered out."""
        task, infos = self._waiting[0]
        images = await task
        self._waiting.popleft()
        pictures = [
            self._guard.filter_frame(np.frombuffer(image, np.uint8).reshape(self._size.shape)) for image in images
        ]
        first = self._task.first_seq
        wanted = [place for place, one in enumerate(infos) if one.seq >= first]
        return FrameBatch([pictures[place] for place in wanted], [infos[place] for place in wanted])


def _rank_weights(names: tuple[str, ...], weights: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
    """(name, weight) of all weights of at least MIN_NAMED_WEIGHT, largest first."""
    heavy: list[int] = (weights >= MIN_NAMED_WEIGHT).nonzero()[0].tolist()
    return tuple((names[place], float(weights[place])) for place in sorted(heavy, key=lambda p: -weights[p]))
