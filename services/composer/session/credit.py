"""Sends frames only as far as the caller has granted credit: offline they wait, live the oldest are dropped."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from deepsing.rpc.errors import DeadlineExceeded, InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.metrics import LIVE_LAG

__all__ = ["CreditGate", "LateFrame"]

MOST_CREDIT = 1_000_000  # frames per grant


class LateFrame(Protocol):
    """A frame whose message is built when it is sent, because the message copies a large image."""

    @property
    def seq(self) -> int:
        """Its number."""

    @property
    def pts_us(self) -> int:
        """Its time, microseconds of the story."""

    def build(self) -> pb.Frame:
        """The message."""


class CreditGate:
    """The credit of one session, and a queue of frames that wait for it.

    Frames that were dropped are replaced in the queue by FramesDropped messages, so that the order is kept.

    Args:
        credit: frames that may be sent before the first grant; None is unlimited.
        backlog: live frames that may wait; None if frames are never dropped (offline).
        stall_s: an offline session ends after this time without credit.
        age_s: maps a time of the story (microseconds) to the seconds since its audio arrived.

    Attributes:
        lag_s: how long after its audio the last frame was sent, seconds.
    """

    def __init__(
        self,
        credit: int | None,
        backlog: int | None,
        stall_s: float,
        age_s: Callable[[int], float] = lambda time_us: 0.0,
    ) -> None:
        self._credit, self.backlog, self._stall_s, self._age_s = credit, backlog, stall_s, age_s
        self.waiting: deque[pb.Frame | LateFrame | pb.FramesDropped] = deque()
        self.frame_count = 0  # frames in `waiting`
        self.dropped_count = 0
        self.lag_s = 0.0
        self._closed = False
        self._granted, self._moved = asyncio.Event(), asyncio.Event()

    @property
    def blocked(self) -> bool:
        """Whether no credit is left."""
        return self._credit == 0

    def grant(self, frames: int) -> None:
        """Adds credit. Raises InvalidArgument CREDIT_OUT_OF_RANGE."""
        if not 1 <= frames <= MOST_CREDIT:
            message = f"credit is {frames}; grant 1 to {MOST_CREDIT}"
            reason = reasons.ERROR_REASON_CREDIT_OUT_OF_RANGE
            raise InvalidArgument(message, reason=reason, field="credit", value=frames)
        if self._credit is not None:
            self._credit += frames
        self._granted.set()

    def close(self) -> None:
        """Says that no more credit will come."""
        self._closed = True
        self._granted.set()
        self._moved.set()

    async def wait_for_credit(self) -> None:
        """Waits for credit. Raises DeadlineExceeded CREDIT_STALLED after `stall_s`, or if none can come any more."""
        while self.blocked:
            self._granted.clear()
            try:
                if not self._closed:
                    async with asyncio.timeout(self._stall_s):
                        await self._granted.wait()
            except TimeoutError:
                self._closed = True
            if self.blocked and self._closed:
                message = f"no credit came for {self._stall_s:g} s, or none can come any more; grant some sooner"
                raise DeadlineExceeded(message, reason=reasons.ERROR_REASON_CREDIT_STALLED)

    def offer(self, frame: pb.Frame | LateFrame) -> None:
        """Queues a frame. If too many wait, the oldest is replaced by a FramesDropped message."""
        self.waiting.append(frame)
        self.frame_count += 1
        if self.backlog is not None and self.frame_count > self.backlog:
            self._drop_oldest()

    def skip(self, first_seq: int, frame_count: int) -> None:
        """Queues a FramesDropped message for frames that were never painted."""
        self.dropped_count += frame_count
        last = self.waiting[-1] if self.waiting else None
        if isinstance(last, pb.FramesDropped):
            last.frame_count += frame_count
        else:
            self.waiting.append(pb.FramesDropped(first_seq=first_seq, frame_count=frame_count))

    def _drop_oldest(self) -> None:
        """Replaces the oldest frame by a FramesDropped message, merged with those before and after it."""
        first = self.waiting.popleft()
        if isinstance(first, pb.FramesDropped):
            self.waiting.popleft()  # the frame after that message
            note = pb.FramesDropped(first_seq=first.first_seq, frame_count=first.frame_count + 1)
        else:
            note = pb.FramesDropped(first_seq=first.seq, frame_count=1)
        if self.waiting and isinstance(after := self.waiting[0], pb.FramesDropped):
            self.waiting.popleft()
            note.frame_count += after.frame_count
        self.waiting.appendleft(note)
        self.frame_count -= 1
        self.dropped_count += 1

    def drop_waiting(self) -> None:
        """Drops all frames that still wait, at the end of the story."""
        while self.frame_count:
            self._drop_oldest()

    async def wait_until_empty(self) -> None:
        """Waits until the queue is empty, or what is left can never be sent."""
        while self.waiting and not (self._closed and self.blocked):
            self._moved.clear()
            await self._moved.wait()

    def pop_next(self) -> pb.ComposeResponse | None:
        """Takes the next message out of the queue, or None if it has to wait; FramesDropped needs no credit."""
        if not self.waiting or (self.blocked and not isinstance(self.waiting[0], pb.FramesDropped)):
            return None
        item = self.waiting.popleft()
        self._moved.set()
        if isinstance(item, pb.FramesDropped):
            return pb.ComposeResponse(frames_dropped=item)
        if self._credit is not None:
            self._credit -= 1
        self.frame_count -= 1
        self.lag_s = self._age_s(item.pts_us)
        if self.backlog is not None:
            LIVE_LAG.observe(self.lag_s)
        return pb.ComposeResponse(frame=item if isinstance(item, pb.Frame) else item.build())
