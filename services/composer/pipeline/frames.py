"""Turns sentiments into finished frames, in order; several batches are requested from the generator at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from deepsing.v1 import generator_pb2, sentiment_pb2
from services.composer.backends.client import Backends
from services.composer.film.camera import Camera
from services.composer.film.film import Film, Shot
from services.composer.film.pace import find_neighbours
from services.composer.pipeline.analysis import AnalysisUpdate, gather_updates
from services.composer.pipeline.keys import KeyTranslator
from services.composer.pipeline.painting import build_picture_request, paint_pictures
from services.composer.pipeline.room import FrameRoom
from services.composer.pipeline.task import StoryTask
from services.composer.story.flashes import FlashGuard
from services.composer.story.frame import FrameInfo
from services.composer.story.latents import FrameLatent, LatentPath
from services.composer.story.storyboard import KeyMotion, ScriptedTimeline, arrange_keys
from services.composer.story.timeline import REACTION_S, Key, Point, Timeline

__all__ = ["FrameScheduler", "FrameBatch"]

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


@dataclass(frozen=True)
class PlannedPicture:
    """A picture to paint, and the frames after the last one, up to it, that can be shown once it is painted."""

    latent: FrameLatent
    infos: list[FrameInfo]
    shots: list[Shot]


class FrameScheduler:
    """Plans the frames of one story, has the generator paint some of them, and makes the film of those.

    Args:
        room: how much is held at a time.
    """

    def __init__(self, task: StoryTask, backends: Backends, room: FrameRoom) -> None:
        self._task, self._backends, self._in_flight, self._batch = task, backends, room.in_flight, room.batch
        self._piece = room.piece
        self._films, self._delivers = asyncio.Semaphore(room.films), False  # whether the last film is still held
        self._plan, self._capabilities, self._size = task.plan, task.capabilities, task.painted_size
        self._timeline = Timeline(look_ahead=not task.plan.live, lag_s=task.capabilities.lag_s)
        self._path, self._keys = LatentPath(), KeyTranslator(task, backends)
        self._motion: KeyMotion | None = None  # of a storyboard
        self._camera = Camera(task.plan.motion, task.plan.react, look_ahead=not task.plan.live)
        rate, self._pace = float(task.plan.rate), task.pace
        # Live, what is not final in time is shown later, by less than the time between two painted pictures.
        self._delay_s = max(0.0, (self._pace.stride - 1) / rate - REACTION_S) if task.plan.live else 0.0
        # Frames are numbered as in the whole song, so that a part shows what the whole shows there.
        self._first = task.plan.first_frame
        begin = FlashGuard.warmup_start(self._first + task.first_seq, rate)
        counted_from = max(begin, self._first)
        if task.judge_all:  # a stored story, in whose manifest flashes are counted as in an uninterrupted one
            begin = FlashGuard.warmup_start(counted_from, rate)
        self._film = Film(FlashGuard(rate, begin, counted_from), task.size)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="film")
        self._planned = begin  # number of the next frame to plan
        self._block, self._stride = (-1, -1), self._pace.stride  # that was planned last, and of pictures in it
        self._last_picture = -1  # number of the last frame that was planned to be painted
        self._pending: list[PlannedPicture] = []
        self._waiting: deque[tuple[asyncio.Task[list[NDArray[np.uint8]]], list[FrameInfo]]] = deque()
        self._latest: asyncio.Task[list[NDArray[np.uint8]]] | None = None  # that makes the last frames
        self._requests: deque[asyncio.Task[list[NDArray[np.uint8]]]] = deque()  # that makes the last frames of each

    @property
    def flashes_per_second(self) -> int:
        """Most general flashes in any second so far."""
        return self._film.flashes_per_second

    async def run(self, updates: AsyncIterator[AnalysisUpdate]) -> AsyncGenerator[FrameBatch]:
        """Yields batches of frames in order until the song has ended and all frames are painted."""
        try:
            async for update in gather_updates(updates) if self._plan.storyboard else updates:
                if self._plan.storyboard:
                    self._follow_storyboard(update.points)
                for point in update.points:
                    await self._add_point(point)
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
            try:
                await asyncio.gather(*(task for task, _ in self._waiting), return_exceptions=True)
            finally:
                self._latest = None  # it would keep its frames
                self._thread.shutdown(wait=False)

    async def _place_keys(self, keys: list[Key]) -> None:
        """Places a point in latent space for each key."""
        for key in keys:
            self._path.add(key.index, await self._keys.translate(key))

    def _follow_storyboard(self, points: Sequence[Point]) -> None:
        """Takes the keys from the storyboard; `points` are all of the song."""
        plan, lag_s = self._plan, self._capabilities.lag_s
        arranged = arrange_keys(plan.storyboard, points, lag_s)
        self._keys = KeyTranslator(self._task, self._backends, arranged.locked)
        self._timeline = ScriptedTimeline(arranged.keys, lag_s)
        self._motion = KeyMotion(arranged.keys, arranged.locked, plan.motion)
        self._camera = Camera(self._motion.find(0.0), plan.react, look_ahead=True, largest=self._motion.largest)

    async def _add_point(self, point: Point) -> None:
        """Adds the next point to the camera and the timeline."""
        self._camera.add(self._plan.mood.shift_point(point), self._motion.find(point.time_s) if self._motion else None)
        await self._place_keys(self._timeline.add(point))

    async def _advance(self, frames: int) -> AsyncGenerator[FrameBatch]:
        """Plans those of the first `frames` frames that are final, requests them, and yields finished batches."""
        ready_s, finished, end = self._timeline.ready_s, self._timeline.finished, self._first + frames
        settled = end if finished else min(end, ceil(Fraction(ready_s) * self._plan.rate))
        while self._planned < settled and (finished or self._pace.find_block(self._planned)[1] < settled):
            self._plan_picture(end)
            if len(self._pending) == self._batch:
                self._request_batch()
                while self._count_requests() >= self._in_flight:
                    yield await self._collect()
        if self._pending and finished:
            self._request_batch()
        while self._waiting and self._waiting[0][0].done():
            yield await self._collect()
        self._forget()

    def _find_next_picture(self) -> int:
        """Number of the next frame to be painted: the one after the next frame to plan, or the one before it."""
        left, right, _ = find_neighbours(self._planned, self._find_stride(self._planned))
        return right if left in (right, self._last_picture) else left

    def _find_stride(self, seq: int) -> int:
        """Frames from one painted picture to the next around frame number `seq`: more while one picture is shown."""
        block = self._pace.find_block(seq)
        if self._pace.rest > self._pace.stride and block != self._block:
            shown = {key for one in block for key in self._find_keys(one)}
            self._block, self._stride = block, self._pace.rest if len(shown) == 1 else self._pace.stride
        return self._stride

    def _find_keys(self, seq: int) -> tuple[int, int]:
        """The keys that a frame lies between."""
        moment = self._timeline.moment(self._find_time_s(seq))
        return moment.left, moment.right

    def _plan_picture(self, end: int | None) -> None:
        """Plans the next picture and the frames that it completes, those before `end`, if that is known."""
        seq = self._find_next_picture()
        following = range(self._planned, seq + 1 if end is None else min(seq + 1, end))
        planned = {one: self._plan_frame(one) for one in (*following, seq)}  # the picture is mostly the last of them
        infos, shots = [planned[one][1] for one in following], [planned[one][2] for one in following]
        self._pending.append(PlannedPicture(planned[seq][0], infos, shots))
        self._last_picture = seq
        self._planned += len(following)

    def _plan_frame(self, seq: int) -> tuple[FrameLatent, FrameInfo, Shot]:
        shown_s = self._find_time_s(seq)
        moment = self._timeline.moment(shown_s)
        latent = self._path.latent_at(moment)
        info = FrameInfo(
            seq=seq - self._first,
            time_s=float((seq - self._first) / self._plan.rate),
            target=self._plan.mood.shift(moment.arousal, moment.valence),
            expected=latent.expected,
            concepts=_rank_weights(self._capabilities.concepts, latent.classes),
            styles=_rank_weights(self._capabilities.styles, latent.style),
            song=(moment.arousal, moment.valence) if self._plan.mood else None,
        )
        return latent, info, Shot(find_neighbours(seq, self._find_stride(seq))[2], self._camera.pose_at(shown_s))

    def _find_time_s(self, seq: int) -> float:
        """The time of the story that a frame shows."""
        return max(0.0, float(seq / self._plan.rate) - self._delay_s)

    def _forget(self) -> None:
        """Deletes what neither a frame that is to be planned nor the picture before it needs."""
        needed_s = min(self._find_time_s(max(0, self._planned - self._pace.rest)), self._timeline.ready_s)
        self._timeline.forget(needed_s)
        self._camera.forget(needed_s)

    def _request_batch(self) -> None:
        """Requests the pending pictures from the generator."""
        request = build_picture_request(
            self._task,
            [picture.latent for picture in self._pending],
            self._size,
            image_format=sentiment_pb2.IMAGE_FORMAT_RAW_RGB,
            priority=generator_pb2.PRIORITY_LIVE if self._plan.live else generator_pb2.PRIORITY_OFFLINE,
        )
        painting = asyncio.create_task(self._generate(request))
        for number, picture in enumerate(self._pending):
            shots, infos = picture.shots, picture.infos
            for first in range(0, max(1, len(shots)), self._piece):  # a picture may be painted for later frames alone
                part, place = slice(first, first + self._piece), None if first else number
                self._latest = asyncio.create_task(self._make_frames(painting, place, shots[part], self._latest))
                self._waiting.append((self._latest, infos[part]))
        assert self._latest is not None
        self._requests.append(self._latest)
        self._pending = []

    def _count_requests(self) -> int:
        """Requests not all of whose frames are made."""
        return sum(not task.done() for task in self._requests)

    async def _make_frames(
        self,
        painting: asyncio.Task[list[bytes]],
        number: int | None,
        shots: Sequence[Shot],
        before: asyncio.Task[list[NDArray[np.uint8]]] | None,
    ) -> list[NDArray[np.uint8]]:
        """Makes some frames of a painted picture, once those before them are made.

        Args:
            painting: of a batch.
            number: of the picture in it; None for further frames of the last one.
            shots: of the frames.
            before: makes the frames before them.
        """
        images = await painting
        if before is not None:
            await asyncio.wait({before})
            before.result()
        await self._films.acquire()
        image = None if number is None else images[number]
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._make_film, image, shots)

    def _make_film(self, image: bytes | None, shots: Sequence[Shot]) -> list[NDArray[np.uint8]]:
        """The next frames, of the next picture if there is one; blocks."""
        if image is not None:
            self._film.show_next(np.frombuffer(image, np.uint8).reshape(self._size.shape))
        return self._film.make_frames(shots)

    async def _generate(self, request: generator_pb2.GenerateRequest) -> list[bytes]:
        answer = await paint_pictures(self._task, self._backends, request)
        self._backends.pace.record(answer.compute_us / request.frame_count)
        return list(answer.images)

    async def _collect(self) -> FrameBatch:
        """Waits for the oldest request; returns its frames. Those of the last call are consumed by now."""
        if self._delivers:
            self._films.release()
        task, infos = self._waiting[0]
        self._delivers = False
        frames, self._delivers = await task, True
        self._waiting.popleft()
        if self._requests[0] is task:  # it would keep its frames
            self._requests.popleft()
        first = self._task.first_seq
        wanted = [place for place, one in enumerate(infos) if one.seq >= first]
        return FrameBatch([frames[place] for place in wanted], [infos[place] for place in wanted])


def _rank_weights(names: tuple[str, ...], weights: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
    """(name, weight) of all weights of at least MIN_NAMED_WEIGHT, largest first."""
    heavy: list[int] = (weights >= MIN_NAMED_WEIGHT).nonzero()[0].tolist()
    return tuple((names[place], float(weights[place])) for place in sorted(heavy, key=lambda p: -weights[p]))
