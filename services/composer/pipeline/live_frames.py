"""Schedules the frames of a live story: painted ahead of the audio, and yielded when their audio has arrived."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from deepsing.v1 import generator_pb2
from services.composer.backends.client import Backends
from services.composer.pipeline.analysis import AnalysisUpdate
from services.composer.pipeline.frames import FrameBatch, FrameScheduler
from services.composer.pipeline.room import FrameRoom
from services.composer.pipeline.task import StoryTask
from services.composer.settings import ComposerSettings
from services.composer.story.frame import FrameInfo
from services.composer.story.timeline import Point
from services.composer.upload.arrivals import ArrivalLog

__all__ = ["LiveFrameScheduler", "count_late", "build_scheduler"]

BATCH = 2  # frames per request, at most: larger ones delay their first frame
IN_FLIGHT = 2  # requests at a time, at most: one is painted, one waits
PACE_SHARE = 0.25  # weight of the latest batch in the running mean of batch times
AHEAD_BYTES = 64 * 2**20  # of frames that are made and whose audio has not arrived, at most


class LiveFrameScheduler(FrameScheduler):
    """Plans the frames of one live story and has the generator paint them.

    What a frame shows is final up to half a second before its audio arrives (see Timeline). So a generator that keeps
    up adds no delay. For a slower one, one batch is requested at a time, and frames that would be late are skipped.

    Args:
        arrivals: when audio arrived; positions are microseconds of the story.
        settings: frames whose audio arrived more than live_late_s ago are skipped.
    """

    def __init__(
        self, task: StoryTask, backends: Backends, arrivals: ArrivalLog, settings: ComposerSettings, room: FrameRoom
    ) -> None:
        batch, in_flight = min(room.batch, BATCH), min(room.in_flight, IN_FLIGHT)
        super().__init__(task, backends, replace(room, batch=batch, in_flight=in_flight))
        self._arrivals, self._late_s = arrivals, settings.live_late_s
        self._batch_s = 0.0  # running mean of the time from requesting a batch to having it
        self._ahead: deque[tuple[NDArray[np.uint8], FrameInfo]] = deque()  # painted, not yet yielded
        ahead_bytes = min(AHEAD_BYTES, room.bytes)
        self._most_ahead = max(self._batch, ahead_bytes // task.size.byte_count)

    async def run(self, updates: AsyncIterator[AnalysisUpdate]) -> AsyncGenerator[FrameBatch]:
        """Yields frames in order, each once its audio has arrived, and the numbers of skipped ones."""
        arousal, valence = map(float, self._capabilities.norm.mean)  # typical, until the first sentiment is known
        typical = Point(0.0, arousal, valence, loudness=0.0, onset=0.0)
        self._camera.add(self._plan.mood.shift_point(typical))
        await self._place_keys(self._timeline.add(typical))
        async with aclosing(super().run(updates)) as batches:
            async for batch in batches:
                yield batch

    async def _advance(self, frames: int) -> AsyncGenerator[FrameBatch]:
        """Yields finished frames among the first `frames`, whose audio has arrived, and requests further ones."""
        if self._ahead and self._ahead[0][1].seq < frames:
            yield self._release_due(frames)
        while self._can_plan(frames):
            behind = self._planned < frames
            if self._count_requests() >= (1 if behind else self._in_flight):
                if not (behind or self._is_due(frames)):
                    break
                yield await self._collect_due(frames)
            elif behind and (late := self._count_late(frames)):
                while self._waiting:
                    yield await self._collect_due(frames)
                self._planned += late
                yield FrameBatch([], [], range(self._planned - late, self._planned))
            else:
                self._plan_batch(frames)
        while self._is_due(frames):
            yield await self._collect_due(frames)
        if self._timeline.finished:  # frames painted beyond the end of the song are not needed
            self._cancel_waiting()
        self._forget()

    def _is_due(self, frames: int) -> bool:
        """Whether the audio of the oldest frame that is being made has arrived, or it is painted for later ones."""
        return bool(self._waiting) and all(info.seq < frames for info in self._waiting[0][1][:1])

    def _can_plan(self, frames: int) -> bool:
        """Whether the next frame is final and not too far ahead."""
        end = frames if self._timeline.finished else frames + self._most_ahead
        return self._planned < end and self._find_time_s(self._find_next_picture()) < self._timeline.ready_s

    def _plan_batch(self, frames: int) -> None:
        while len(self._pending) < self._batch and self._can_plan(frames):
            self._plan_picture(frames if self._timeline.finished else None)
        self._request_batch()

    def _count_late(self, frames: int) -> int:
        """How many of the next frames whose audio has arrived to skip."""
        times_us = (round(seq / self._plan.rate * 1_000_000) for seq in range(self._planned, frames))
        ages_s = [self._arrivals.age_s(time_us) for time_us in times_us]
        return count_late(ages_s, self._late_s, self._batch_s, self._batch * self._pace.stride)

    async def _generate(self, request: generator_pb2.GenerateRequest) -> list[bytes]:
        began_s = monotonic()
        images = await super()._generate(request)
        self._batch_s += PACE_SHARE * (monotonic() - began_s - self._batch_s)
        return images

    async def _collect_due(self, frames: int) -> FrameBatch:
        """Waits for the oldest request; returns all painted frames whose audio has arrived."""
        batch = await self._collect()
        self._ahead.extend(zip(batch.pictures, batch.infos, strict=True))
        return self._release_due(frames)

    def _release_due(self, frames: int) -> FrameBatch:
        out = FrameBatch([], [])
        while self._ahead and self._ahead[0][1].seq < frames:
            picture, info = self._ahead.popleft()
            out.pictures.append(picture)
            out.infos.append(info)
        return out

    def _cancel_waiting(self) -> None:
        for task, _ in self._waiting:
            task.cancel()
        self._waiting.clear()
        self._requests.clear()
        self._ahead.clear()


def count_late(ages_s: Sequence[float], late_s: float, batch_s: float, batch: int) -> int:
    """How many of the oldest frames to skip, so that those that are painted are not late.

    Args:
        ages_s: time since the audio of each due frame arrived, oldest first.
        late_s: a frame whose audio is older is skipped in any case.
        batch_s: time to paint a batch: a frame that would then be late is skipped if a batch of newer ones is due.
        batch: frames per batch.
    """
    for count, age_s in enumerate(ages_s):
        would_be_late = age_s + batch_s > late_s and len(ages_s) - count > batch
        if age_s <= late_s and not would_be_late:
            return count
    return len(ages_s)


def build_scheduler(
    task: StoryTask, backends: Backends, arrivals: ArrivalLog, settings: ComposerSettings, room: FrameRoom
) -> FrameScheduler:
    """The scheduler for the plan's pacing."""
    if task.plan.live:
        return LiveFrameScheduler(task, backends, arrivals, settings, room)
    return FrameScheduler(task, backends, room)
