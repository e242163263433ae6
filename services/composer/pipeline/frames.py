"""Paints a story: feelings in, finished frames out, in order, with a few batches always before the generator."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from deepsing.access.accounts import charge
from deepsing.v1 import generator_pb2, sentiment_pb2, translator_pb2
from services.composer.backends.client import BATCH_BYTES, Backends
from services.composer.pipeline.analysis import AnalysisUpdate
from services.composer.pipeline.capabilities import Capabilities
from services.composer.session.config import StoryPlan
from services.composer.story.flashes import FlashGuard
from services.composer.story.frame import FrameInfo
from services.composer.story.latents import FrameLatent, KeyLatent, LatentPath
from services.composer.story.styles import StyleChooser
from services.composer.story.timeline import Key, Timeline

__all__ = ["FrameScheduler", "FrameBatch"]

RECENT_KEYS = 64  # concepts of this many keys are told to the translator, which avoids them; as many as it takes
MIN_NAMED_WEIGHT = 0.01  # lighter concepts and styles are not named


@dataclass(frozen=True)
class FrameBatch:
    """A batch of finished frames: pictures (height, width, 3), and what each shows; or frames that none will show."""

    pictures: list[NDArray[np.uint8]]
    infos: list[FrameInfo]
    skipped: range = range(0)


class FrameScheduler:
    """One story being painted.

    Args:
        first: first frame wanted; those before it are not painted, or only as far as later ones depend on them.
    """

    def __init__(
        self,
        plan: StoryPlan,
        capabilities: Capabilities,
        backends: Backends,
        *,
        session_id: str,
        batch: int,
        in_flight: int,
        first: int,
    ) -> None:
        self.plan, self.capabilities, self.backends = plan, capabilities, backends
        self.session_id, self.in_flight, self.first = session_id, in_flight, first
        self.timeline = Timeline(look_ahead=not plan.live)
        self.path = LatentPath()
        self.recent: deque[int] = deque(maxlen=RECENT_KEYS)
        self.styles = StyleChooser(capabilities.style_sentiments)
        self.size = plan.size or capabilities.engine.native_size
        most = BATCH_BYTES // (self.size.width_px * self.size.height_px * 3)
        self.batch = max(1, min(batch, most))
        begin = FlashGuard.warmup_start(first, float(plan.rate))
        self.guard = FlashGuard(float(plan.rate), begin)
        self.planned = begin  # frames whose latents have been asked for
        self.pending: list[tuple[FrameLatent, FrameInfo]] = []
        self.waiting: deque[tuple[asyncio.Task[list[bytes]], list[FrameInfo]]] = deque()

    async def run(self, updates: AsyncIterator[AnalysisUpdate]) -> AsyncGenerator[FrameBatch]:
        """Yields batches of frames in order until the song is over and all is painted."""
        try:
            async for update in updates:
                for point in update.points:
                    await self._place_keys(self.timeline.add(point))
                    async for batch in self._advance(update.frames):
                        yield batch
                if update.last:
                    await self._place_keys(self.timeline.finish())
                if update.last or not update.points:
                    async for batch in self._advance(update.frames):
                        yield batch
            while self.waiting:
                yield await self._collect()
        finally:
            for task, _ in self.waiting:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*(task for task, _ in self.waiting), return_exceptions=True)

    async def _place_keys(self, keys: list[Key]) -> None:
        """Gives keys their places in latent space."""
        for key in keys:
            request = translator_pb2.TranslateRequest(
                translator=self.plan.translator,
                engine=self.plan.engine,
                seed=self.plan.seed,
                first_index=key.index,
                sentiments=[sentiment_pb2.Sentiment(arousal=key.arousal, valence=key.valence)],
                recent_concepts=self.recent,
            )
            answer = await self.backends.call(self.backends.translator.Translate, request, "translator", self._fits)
            classes = np.array(answer.class_weights, np.float32)
            noise = np.array(answer.noise, np.float32)
            expected = answer.expected[0]
            self.recent.append(int(classes.argmax()))
            self.path.add(
                key.index, KeyLatent(classes, noise, self._style_weights(key), (expected.arousal, expected.valence))
            )

    def _fits(self, answer: translator_pb2.TranslateResponse | generator_pb2.GenerateResponse) -> bool:
        """Whether it was given by the models that the story began with; while others are rolled out both are there."""
        digests = self.capabilities.digests
        if isinstance(answer, generator_pb2.GenerateResponse):
            return answer.engine_digest == digests["engine"]
        return answer.model_digest == digests["translator"]

    def _style_weights(self, key: Key) -> NDArray[np.float32]:
        if self.plan.style == "none":
            return np.zeros(0, np.float32)
        weights = np.zeros(len(self.capabilities.styles), np.float32)
        if self.plan.style == "auto":
            chosen = self.styles.choose(key.arousal, key.valence, key.arrive_s)
        else:
            chosen = self.capabilities.styles.index(self.plan.style)
        weights[chosen] = self.plan.style_strength
        return weights

    async def _advance(self, frames: int) -> AsyncGenerator[FrameBatch]:
        """Plans the first `frames` frames as far as they are settled, and keeps the generator busy with them."""
        rate, ready_s = self.plan.rate, self.timeline.ready_s
        settled = frames if self.timeline.finished else min(frames, ceil(Fraction(ready_s) * rate))
        while self.planned < settled:
            self.pending.append(self._plan_frame(self.planned, self.planned / rate))
            self.planned += 1
            if len(self.pending) == self.batch:
                self._request_batch()
                while len(self.waiting) >= self.in_flight:
                    yield await self._collect()
        if self.pending and self.timeline.finished:
            self._request_batch()
        while self.waiting and self.waiting[0][0].done():
            yield await self._collect()
        self.timeline.forget(min(float(self.planned / rate), ready_s))

    def _plan_frame(self, seq: int, time_s: Fraction) -> tuple[FrameLatent, FrameInfo]:
        at_s = float(time_s)
        moment = self.timeline.moment(at_s)
        latent = self.path.latent_at(moment)
        info = FrameInfo(
            seq=seq,
            time_s=at_s,
            target=(moment.arousal, moment.valence),
            expected=latent.expected,
            concepts=_rank_weights(self.capabilities.concepts, latent.classes),
            styles=_rank_weights(self.capabilities.styles, latent.style),
        )
        return latent, info

    def _request_batch(self) -> None:
        """Sends the latents gathered so far to the generator."""
        latents = [latent for latent, _ in self.pending]
        live = self.plan.live
        request = generator_pb2.GenerateRequest(
            engine=self.plan.engine,
            frame_count=len(latents),
            class_weights=np.concatenate(
                [latent.classes for latent in latents]
            ).tolist(),  # a list is read five times as fast
            noise=np.concatenate([latent.noise for latent in latents]).tolist(),
            truncation=self.plan.truncation,
            style_weights=np.concatenate([latent.style for latent in latents]).tolist(),
            size=self.size,
            image_format=sentiment_pb2.IMAGE_FORMAT_RAW_RGB,
            priority=generator_pb2.PRIORITY_LIVE if live else generator_pb2.PRIORITY_OFFLINE,
            session_id=self.session_id,
        )
        task = asyncio.create_task(self._generate(request))
        self.waiting.append((task, [info for _, info in self.pending]))
        self.pending = []

    async def _generate(self, request: generator_pb2.GenerateRequest) -> list[bytes]:
        answer = await self.backends.call(self.backends.generator.Generate, request, "generator", self._fits)
        self.backends.pace.record(answer.compute_us / request.frame_count)
        charge(answer.compute_us / 1e6)
        return list(answer.images)

    async def _collect(self) -> FrameBatch:
        """The oldest batch, once it is painted, kept from flashing."""
        task, infos = self.waiting[0]
        images = await task
        self.waiting.popleft()
        form = (self.size.height_px, self.size.width_px, 3)
        pictures = [self.guard.filter_frame(np.frombuffer(image, np.uint8).reshape(form)) for image in images]
        wanted = [place for place, one in enumerate(infos) if one.seq >= self.first]
        return FrameBatch([pictures[place] for place in wanted], [infos[place] for place in wanted])


def _rank_weights(names: tuple[str, ...], weights: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
    """(name, weight) of all weights from MIN_NAMED_WEIGHT on, heaviest first."""
    heavy: list[int] = (weights >= MIN_NAMED_WEIGHT).nonzero()[0].tolist()
    return tuple((names[place], float(weights[place])) for place in sorted(heavy, key=lambda p: -weights[p]))
