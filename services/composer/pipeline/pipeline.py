"""Makes one story: analyses its song, paints its frames and judges them, all at the same time."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.backends.client import Backends
from services.composer.pipeline.analysis import AnalysisUpdate, LatestUpdate, SongAnalysis
from services.composer.pipeline.frames import FrameBatch
from services.composer.pipeline.judge import JudgeClient
from services.composer.pipeline.live_frames import build_scheduler
from services.composer.pipeline.room import FrameRoom, plan_room
from services.composer.pipeline.task import StoryTask
from services.composer.settings import ComposerSettings
from services.composer.story.agreement import RunningAgreement
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement, encode_excerpt
from services.composer.story.music import MusicRecorder
from services.composer.story.summary import StorySummary
from services.composer.upload.arrivals import ArrivalLog
from services.composer.upload.song_file import SongFile

__all__ = ["FramesComplete", "StoryEvent", "StoryPipeline"]


@dataclass(frozen=True)
class FramesComplete:
    """All frames of the story are made; judgements may still follow."""

    frame_count: int


StoryEvent = AnalysisUpdate | FrameBatch | FramesComplete | Judgement
EVENTS_AHEAD = 8  # events that may wait for the consumer, judgements apart, and at most one of them a batch of frames
JUDGE_ALL_WAIT_S = 600.0  # longest wait for the last judgements of a stored story


class StoryPipeline:
    """Makes one story and yields its events, in plain values.

    Args:
        task: the story.
        song_file: its upload may still be running.
        arrivals: filled with the times at which audio arrived; positions are microseconds of the story.
        room: how much of the story is held at a time; None is as much as the settings allow.
    """

    def __init__(
        self,
        task: StoryTask,
        song_file: SongFile,
        backends: Backends,
        settings: ComposerSettings,
        arrivals: ArrivalLog | None = None,
        room: FrameRoom | None = None,
    ) -> None:
        self._task, arrivals, room = task, arrivals or ArrivalLog(), room or plan_room(task, settings)
        self._analysis, self._latest = SongAnalysis(task, song_file, backends, arrivals), LatestUpdate()
        self._scheduler = build_scheduler(task, backends, arrivals, settings, room)
        self._events: asyncio.Queue[StoryEvent | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(EVENTS_AHEAD)  # restore() waits for the judge, so judgements need none
        self._judge = JudgeClient(task, backends, settings.judge_every_s, self._events.put)
        self._judge_wait_s = JUDGE_ALL_WAIT_S if task.judge_all else settings.judge_wait_s
        self._batch_consumed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="excerpts")  # the loop's own are long busy with sound
        self._agreement = (RunningAgreement(), RunningAgreement())
        self._music = MusicRecorder()
        self._frame_count = 0

    @property
    def judgements(self) -> list[Judgement]:
        """All judgements so far, in order of their frames."""
        return self._judge.judgements

    @property
    def flashes_per_second(self) -> int:
        """Most general flashes in any second so far."""
        return self._scheduler.flashes_per_second

    def run(
        self, group: asyncio.TaskGroup, may_go_on: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[StoryEvent]:
        """Starts at once; yields updates, batches of frames and judgements as they come, until the story is complete.

        The analysis runs ahead of the frames, so that the length of the story is known early. Frames are in order, and
        a batch is yielded only after the one before it was consumed.

        Args:
            group: runs the tasks; the first failure cancels the group, and with it the consumer.
            may_go_on: awaited after each consumed batch; it delays the next batch if the reader is slow. Updates and
                judgements are still yielded meanwhile.

        Raises:
            ServiceError: through the group. RESUME_OUT_OF_RANGE if the story ends before the task's first frame.
        """
        analysis = group.create_task(self._analyse())
        group.create_task(self._make_frames(analysis, may_go_on))
        self._judge.start(group)
        return self._iter_events()

    async def _iter_events(self) -> AsyncGenerator[StoryEvent]:
        while (event := await self._events.get()) is not None:
            if not isinstance(event, Judgement):
                self._room.release()
            yield event
            if isinstance(event, FrameBatch):
                self._batch_consumed.set()

    async def _put(self, event: AnalysisUpdate | FrameBatch | FramesComplete) -> None:
        """Adds an event once there is room for it."""
        await self._room.acquire()
        self._events.put_nowait(event)

    async def restore(self, info: FrameInfo, excerpt: bytes) -> None:
        """Adds a frame that an earlier attempt made to the agreement and to the judge's queue.

        Args:
            info: what it shows.
            excerpt: its JPEG for the judge; empty if it is not to be judged.
        """
        for axis, agreement in enumerate(self._agreement):
            agreement.add(info.target[axis], info.expected[axis])
        if excerpt:
            await self._judge.wait_for_room()
            self._judge.offer(excerpt, info)

    def summarize(self) -> StorySummary:
        """The summary, once run() has ended; the consumer adds digests of song and frames and the number of drops."""
        capabilities, rate = self._task.capabilities, self._task.plan.rate
        return StorySummary(
            frame_count=self._frame_count,
            duration_us=round(self._frame_count / rate * 1_000_000),
            engine=capabilities.engine,
            translator=capabilities.translator,
            digests=capabilities.digests,
            song=self._analysis.song,
            rated_by=capabilities.rated_by,
            arousal=self._agreement[0].result(),
            valence=self._agreement[1].result(),
            judged=self._judge.report(),
            flashes_per_second=self.flashes_per_second,
            warnings=(*capabilities.warnings, *self._task.warnings, *self._judge.warnings),
            music=self._music.result(),
            paint_rate=capabilities.paint_rate,
        )

    async def _analyse(self) -> None:
        async with aclosing(self._analysis.run()) as updates:
            async for update in updates:
                if update.last:
                    self._check_first_frame(update.frames)
                    self._frame_count = update.frames
                for point in update.shown:
                    self._music.add(point)
                self._latest.put(update)
                if update.shown or update.last:
                    await self._put(update)

    def _check_first_frame(self, frame_count: int) -> None:
        first = self._task.first_seq
        if first > frame_count:
            message = f"next_seq is {first}; the story has {frame_count} frames"
            reason = reasons.ERROR_REASON_RESUME_OUT_OF_RANGE
            raise InvalidArgument(message, reason=reason, field="resume.next_seq", value=first)

    async def _make_frames(self, analysis: asyncio.Task[None], may_go_on: Callable[[], Awaitable[None]] | None) -> None:
        try:
            async with aclosing(self._scheduler.run(self._latest.updates())) as batches:
                async for batch in batches:
                    await self._hand_over(batch)
                    if may_go_on is not None:
                        await may_go_on()
        finally:
            self._thread.shutdown(wait=False)
        await analysis
        await self._put(FramesComplete(self._frame_count))
        await self._judge.finish(self._judge_wait_s)
        await self._events.put(None)

    async def _hand_over(self, batch: FrameBatch) -> None:
        """Returns once a batch is consumed and the judge has what it is to see; frames never wait for the latter."""
        if self._task.judge_all:
            batch = dataclasses.replace(batch, excerpts=await self._encode_excerpts(batch))
        self._batch_consumed.clear()
        await self._put(batch)
        await self._batch_consumed.wait()
        excerpts = batch.excerpts if self._task.judge_all else await self._encode_excerpts(batch)
        for info in batch.infos:
            await self.restore(info, excerpts.get(info.seq, b""))

    async def _encode_excerpts(self, batch: FrameBatch) -> dict[int, bytes]:
        loop = asyncio.get_running_loop()
        return {
            info.seq: await loop.run_in_executor(self._thread, encode_excerpt, picture)
            for picture, info in zip(batch.pictures, batch.infos, strict=True)
            if self._judge.selects(info.seq)
        }
