"""Has frames read by the judge of stories, beside the story: frames never wait for it, and nothing of it stops one."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from deepsing.rpc.errors import ServiceError, Unavailable
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2, translator_pb2
from services.composer.backends.client import Backends
from services.composer.session.config import StoryPlan
from services.composer.settings import ComposerSettings
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement, JudgeSampler

__all__ = ["BATCH", "JudgeClient"]

BACKLOG, LIVE_BACKLOG = 512, 16  # pictures of a few ten KB that may wait
BATCH = 16  # pictures read at once
MOST_NAMED = 16  # concepts of a picture that the contract takes


class JudgeClient:
    """The judgements of one story.

    Args:
        concepts: names of the engine's concepts, in its order.
        deliver: is given every judgement, in order of its frame; None where nobody waits for them.
        min_batch: pictures that are waited for before they are read, [1, 16]. The last digits of a judgement depend on
            what is read with it: with 16 a story has the same judgements however its frames come.
    """

    def __init__(
        self,
        plan: StoryPlan,
        concepts: Sequence[str],
        backends: Backends,
        settings: ComposerSettings,
        deliver: Callable[[Judgement], Awaitable[None]] | None,
        *,
        min_batch: int = 1,
    ) -> None:
        self.backends, self.engine, self.deliver, self.min_batch = backends, plan.engine, deliver, min_batch
        self.sampler = JudgeSampler(settings.judge_every_s, plan.rate)
        self.indices = {name: number for number, name in enumerate(concepts)}
        self.room = LIVE_BACKLOG if plan.live else BACKLOG
        self.waiting: deque[tuple[bytes, FrameInfo]] = deque()
        self.judgements: list[Judgement] = []
        self.judge = sentiment_pb2.Judge()
        self.wanted, self.closed, self.fault = 0, False, ""
        self.work: asyncio.Task[None] | None = None
        self._news, self._taken = asyncio.Event(), asyncio.Event()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begins to read."""
        self.work = group.create_task(self._run())

    def offer(self, excerpt: bytes, info: FrameInfo) -> None:
        """Takes what the judge is to see of a frame; where there is no room, that frame is not read."""
        self.wanted += 1
        if self.fault:
            return
        if len(self.waiting) < self.room:
            self.waiting.append((excerpt, info))
            self._news.set()

    async def wait_for_room(self) -> None:
        """Waits until a picture can be offered that will be read, or none will be read any more."""
        while len(self.waiting) >= self.room and not self.fault:
            self._taken.clear()
            await self._taken.wait()

    @property
    def missed_count(self) -> int:
        """Frames that were to be read, and have not been."""
        return self.wanted - len(self.judgements)

    @property
    def warnings(self) -> list[str]:
        """What to say of frames that were not read, once the story is over."""
        if not self.missed_count:
            return []
        return [f"{self.missed_count} of {self.wanted} pictures were not read: {self.fault or 'the judge is too slow'}"]

    async def _run(self) -> None:
        """Reads until finish() is called and nothing waits; a failure ends the judging, not the story."""
        while self.waiting or not self.closed:
            self._news.clear()
            if len(self.waiting) < (1 if self.closed else self.min_batch):
                await self._news.wait()
                continue
            batch = [self.waiting.popleft() for _ in range(min(BATCH, len(self.waiting)))]
            self._taken.set()
            try:
                await self._judge_batch(batch)
            except ServiceError as error:
                self.fault = str(error)
                self.waiting.clear()
                self._taken.set()
                return

    async def finish(self, limit_s: float) -> None:
        """Waits for the last judgements, `limit_s` at most; what is not read then never will be."""
        assert self.work is not None
        self.closed = True
        self._news.set()
        await asyncio.wait({self.work}, timeout=limit_s)
        self.work.cancel()

    async def _judge_batch(self, batch: list[tuple[bytes, FrameInfo]]) -> None:
        pictures = [translator_pb2.Picture(image=image, concepts=self._concept_indices(info)) for image, info in batch]
        request = translator_pb2.ReadPicturesRequest(engine=self.engine, pictures=pictures)
        answer = await self.backends.call(self.backends.translator.ReadPictures, request, "translator")
        read = [(one.arousal, one.valence) for one in answer.achieved]
        if len(read) != len(batch) or not all(map(math.isfinite, sum(read, ()))):
            message = f"translator sent {len(read)} readings of {len(batch)} pictures, or some that are no numbers"
            raise Unavailable(message, reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE)
        self.judge = answer.judge
        for (_, info), achieved in zip(batch, read, strict=True):
            self.judgements.append(Judgement(info, achieved))
            if self.deliver is not None:
                await self.deliver(self.judgements[-1])

    def _concept_indices(self, info: FrameInfo) -> list[int]:
        return [self.indices[name] for name, _ in info.concepts][:MOST_NAMED]
