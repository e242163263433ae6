"""Has frames read by the judge of stories, beside the story: frames never wait for it, and nothing of it stops one."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from deepsing.runtime.errors import NotReady, ServiceError
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2, translator_pb2
from services.composer.peers import Peers
from services.composer.plan import StoryPlan
from services.composer.readings import Reading, Sampling
from services.composer.settings import ComposerSettings
from services.composer.story import Shown

__all__ = ["BATCH", "Reader"]

BACKLOG, LIVE_BACKLOG = 512, 16  # pictures of a few ten KB that may wait
BATCH = 16  # pictures read at once
MOST_NAMED = 16  # concepts of a picture that the contract takes


class Reader:
    """The readings of one story.

    Args:
        concepts: names of the engine's concepts, in its order.
        deliver: is given every reading, in order of its frame; None where nobody waits for them.
        at_once: pictures that are waited for before they are read, [1, 16]. A reading depends, in its last digits, on
            what is read with it: with 16 a story has the same readings however its frames come.
    """

    def __init__(
        self,
        plan: StoryPlan,
        concepts: Sequence[str],
        peers: Peers,
        settings: ComposerSettings,
        deliver: Callable[[Reading], Awaitable[None]] | None,
        *,
        at_once: int = 1,
    ) -> None:
        self.peers, self.engine, self.deliver, self.at_once = peers, plan.engine, deliver, at_once
        self.sampling = Sampling(settings.judge_every_s, plan.rate)
        self.numbers = {name: number for number, name in enumerate(concepts)}
        self.room = LIVE_BACKLOG if plan.live else BACKLOG
        self.waiting: deque[tuple[bytes, Shown]] = deque()
        self.readings: list[Reading] = []
        self.judge = sentiment_pb2.Judge()
        self.wanted, self.closed, self.fault = 0, False, ""
        self.work: asyncio.Task[None] | None = None
        self._news, self._taken = asyncio.Event(), asyncio.Event()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begins to read."""
        self.work = group.create_task(self._run())

    def offer(self, excerpt: bytes, shown: Shown) -> None:
        """Takes what the judge is to see of a frame; where there is no room, that frame is not read."""
        self.wanted += 1
        if self.fault:
            return
        if len(self.waiting) < self.room:
            self.waiting.append((excerpt, shown))
            self._news.set()

    async def has_room(self) -> None:
        """Waits until a picture can be offered that will be read, or none will be read any more."""
        while len(self.waiting) >= self.room and not self.fault:
            self._taken.clear()
            await self._taken.wait()

    @property
    def missed(self) -> int:
        """Frames that were to be read, and have not been."""
        return self.wanted - len(self.readings)

    @property
    def warnings(self) -> list[str]:
        """What to say of frames that were not read, once the story is over."""
        if not self.missed:
            return []
        return [f"{self.missed} of {self.wanted} pictures were not read: {self.fault or 'the judge is too slow'}"]

    async def _run(self) -> None:
        """Reads until finish() is called and nothing waits; a failure ends the reading, not the story."""
        while self.waiting or not self.closed:
            self._news.clear()
            if len(self.waiting) < (1 if self.closed else self.at_once):
                await self._news.wait()
                continue
            batch = [self.waiting.popleft() for _ in range(min(BATCH, len(self.waiting)))]
            self._taken.set()
            try:
                await self._read(batch)
            except ServiceError as error:
                self.fault = str(error)
                self.waiting.clear()
                self._taken.set()
                return

    async def finish(self, limit_s: float) -> None:
        """Waits for the last readings, `limit_s` at most; what is not read then never will be."""
        assert self.work is not None
        self.closed = True
        self._news.set()
        await asyncio.wait({self.work}, timeout=limit_s)
        self.work.cancel()

    async def _read(self, batch: list[tuple[bytes, Shown]]) -> None:
        pictures = [translator_pb2.Picture(image=image, concepts=self._numbers(shown)) for image, shown in batch]
        request = translator_pb2.ReadPicturesRequest(engine=self.engine, pictures=pictures)
        answer = await self.peers.call(self.peers.translator.ReadPictures, request, "translator")
        read = [(one.arousal, one.valence) for one in answer.achieved]
        if len(read) != len(batch) or not all(map(math.isfinite, sum(read, ()))):
            message = f"translator sent {len(read)} readings of {len(batch)} pictures, or some that are no numbers"
            raise NotReady(message, reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE)
        self.judge = answer.judge
        for (_, shown), achieved in zip(batch, read, strict=True):
            self.readings.append(Reading(shown, achieved))
            if self.deliver is not None:
                await self.deliver(self.readings[-1])

    def _numbers(self, shown: Shown) -> list[int]:
        return [self.numbers[name] for name, _ in shown.concepts][:MOST_NAMED]
