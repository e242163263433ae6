"""Has the translator judge some frames while the story is made. A failure of the judge does not stop the story."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable

from deepsing.rpc.errors import ServiceError, Unavailable
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2, translator_pb2
from services.composer.backends.client import Backends
from services.composer.pipeline.task import StoryTask
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement, JudgeSampler, agreements
from services.composer.story.summary import JudgeReport, JudgeSkill

__all__ = ["JudgeClient"]

BACKLOG, LIVE_BACKLOG = 512, 16  # pictures that may wait
BACKLOG_BYTES = 4 * 2**20  # of them, if there is more than one
BATCH = 16  # pictures per request
MOST_NAMED = 16  # concepts per picture, the contract's limit


class JudgeClient:
    """Judges frames of one story.

    If `task.judge_all` is set, frames wait for the judge (see `wait_for_room`): every chosen frame is judged, BATCH at
    a time, because the last digits of a judgement depend on the size of the batch. Otherwise frames for which the
    judge is too slow are not judged.

    Args:
        every_s: time between judged frames; 0 judges none.
        deliver: awaited with each judgement, in the order of frames.
    """

    def __init__(
        self,
        task: StoryTask,
        backends: Backends,
        every_s: float,
        deliver: Callable[[Judgement], Awaitable[None]],
    ) -> None:
        self._engine, self._backends, self._deliver = task.plan.engine, backends, deliver
        self._sampler = JudgeSampler(every_s, task.plan.rate)
        self._indices = {name: number for number, name in enumerate(task.capabilities.concepts)}
        self._judge_all, self._room = task.judge_all, LIVE_BACKLOG if task.plan.live else BACKLOG
        self._waiting: deque[tuple[bytes, FrameInfo]] = deque()
        self._waiting_bytes = 0
        self._judge = sentiment_pb2.Judge()
        self._wanted, self._closed, self._fault = 0, False, ""
        self._work: asyncio.Task[None] | None = None
        self._news, self._taken = asyncio.Event(), asyncio.Event()
        self.judgements: list[Judgement] = []

    def start(self, group: asyncio.TaskGroup) -> None:
        """Starts the task that judges."""
        self._work = group.create_task(self._run())

    def selects(self, seq: int) -> bool:
        """Whether a frame is to be judged."""
        return self._sampler.selects(seq)

    def offer(self, excerpt: bytes, info: FrameInfo) -> None:
        """Queues a frame's JPEG; if the queue is full, the frame is not judged."""
        self._wanted += 1
        if self._fault:
            return
        if not self._is_full():
            self._waiting.append((excerpt, info))
            self._waiting_bytes += len(excerpt)
            self._news.set()

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._room or self._waiting_bytes >= BACKLOG_BYTES

    async def wait_for_room(self) -> None:
        """Waits until the queue has room, if all chosen frames are to be judged; else returns at once."""
        while self._judge_all and self._is_full() and not self._fault:
            self._taken.clear()
            await self._taken.wait()

    def report(self) -> JudgeReport | None:
        """How well the judged pictures follow the song so far; None if none was judged."""
        if not self.judgements:
            return None
        arousal, valence = agreements(self.judgements)
        judge = self._judge
        return JudgeReport(
            arousal=arousal,
            valence=valence,
            digest=judge.digest,
            arousal_skill=JudgeSkill(judge.arousal.r, judge.arousal.n),
            valence_skill=JudgeSkill(judge.valence.r, judge.valence.n),
            missed_count=self.missed_count,
        )

    @property
    def missed_count(self) -> int:
        """Frames that were chosen but not judged."""
        return self._wanted - len(self.judgements)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A warning if chosen frames were not judged; complete once finish() has returned."""
        if not self.missed_count:
            return ()
        why = self._fault or "the judge is too slow"
        return (f"{self.missed_count} of {self._wanted} pictures were not read: {why}",)

    async def _run(self) -> None:
        """Judges until finish() is called and the queue is empty, or the judge fails."""
        while self._waiting or not self._closed:
            self._news.clear()
            if len(self._waiting) < (BATCH if self._judge_all and not self._closed else 1):
                await self._news.wait()
                continue
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._waiting_bytes -= sum(len(excerpt) for excerpt, _ in batch)
            self._taken.set()
            try:
                await self._judge_batch(batch)
            except ServiceError as error:
                self._fault = str(error)
                self._waiting.clear()
                self._waiting_bytes = 0
                self._taken.set()
                return

    async def finish(self, limit_s: float) -> None:
        """Waits for the last judgements, at most `limit_s`, then stops judging."""
        assert self._work is not None
        self._closed = True
        self._news.set()
        await asyncio.wait({self._work}, timeout=limit_s)
        self._work.cancel()

    async def _judge_batch(self, batch: list[tuple[bytes, FrameInfo]]) -> None:
        pictures = [translator_pb2.Picture(image=image, concepts=self._concept_indices(info)) for image, info in batch]
        request = translator_pb2.ReadPicturesRequest(engine=self._engine, pictures=pictures)
        answer = await self._backends.call(self._backends.translator.ReadPictures, request, "translator")
        read = [(one.arousal, one.valence) for one in answer.achieved]
        if len(read) != len(batch) or not all(map(math.isfinite, sum(read, ()))):
            message = f"translator sent {len(read)} readings of {len(batch)} pictures, or some are not finite"
            raise Unavailable(message, reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE)
        self._judge = answer.judge
        for (_, info), achieved in zip(batch, read, strict=True):
            self.judgements.append(Judgement(info, achieved))
            await self._deliver(self.judgements[-1])

    def _concept_indices(self, info: FrameInfo) -> list[int]:
        return [self._indices[name] for name, _ in info.concepts][:MOST_NAMED]
