"""Lets frames out only against credit: offline they wait for it, live the oldest give way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from deepsing.rpc.errors import DeadlineExceeded, InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.metrics import LIVE_LAG

__all__ = ["CreditGate"]

MOST_CREDIT = 1_000_000  # of one grant


class CreditGate:
    """Credit of one session, and the live frames that wait for it, in order with notes of those that were left out.

    Args:
        credit: frames that may go before the first grant; None is without end.
        backlog: live frames that may wait; None where frames are never dropped (offline).
        stall_s: time without credit after which an offline session is over.
        age_s: how long ago the audio at a time of the story, in microseconds, came.

    Attributes:
        lag_s: that age of the frame that left last, when it left.
    """

    def __init__(
        self,
        credit: int | None,
        backlog: int | None,
        stall_s: float,
        age_s: Callable[[int], float] = lambda time_us: 0.0,
    ) -> None:
        self.credit, self.backlog, self.stall_s, self.age_s = credit, backlog, stall_s, age_s
        self.waiting: deque[pb.Frame | pb.FramesDropped] = deque()
        self.frame_count = 0  # of those that wait
        self.dropped_count = 0
        self.lag_s = 0.0
        self.closed = False
        self._granted, self._moved = asyncio.Event(), asyncio.Event()

    @property
    def blocked(self) -> bool:
        """Whether the next frame has to wait."""
        return self.credit == 0

    def grant(self, frames: int) -> None:
        """Takes a grant from the caller."""
        if not 1 <= frames <= MOST_CREDIT:
            message = f"credit is {frames}; grant 1 to {MOST_CREDIT}"
            reason = reasons.ERROR_REASON_CREDIT_OUT_OF_RANGE
            raise InvalidArgument(message, reason=reason, field="credit", value=frames)
        if self.credit is not None:
            self.credit += frames
        self._granted.set()

    def close(self) -> None:
        """No grant will come any more."""
        self.closed = True
        self._granted.set()
        self._moved.set()

    async def wait_for_credit(self) -> None:
        """Waits until a frame may go; raises DeadlineExceeded CREDIT_STALLED where none may for too long, or ever."""
        while self.blocked:
            self._granted.clear()
            try:
                if not self.closed:
                    await asyncio.wait_for(self._granted.wait(), self.stall_s)
            except TimeoutError:
                self.closed = True
            if self.blocked and self.closed:
                message = f"no credit came for {self.stall_s:g} s, or none can come any more; grant some sooner"
                raise DeadlineExceeded(message, reason=reasons.ERROR_REASON_CREDIT_STALLED)

    def offer(self, frame: pb.Frame) -> None:
        """Adds a frame; where too many wait, the oldest is dropped and noted in its place."""
        self.waiting.append(frame)
        self.frame_count += 1
        if self.backlog is not None and self.frame_count > self.backlog:
            self._drop_oldest()

    def skip(self, first_seq: int, frame_count: int) -> None:
        """Notes frames that were never painted."""
        self.dropped_count += frame_count
        last = self.waiting[-1] if self.waiting else None
        if isinstance(last, pb.FramesDropped):
            last.frame_count += frame_count
        else:
            self.waiting.append(pb.FramesDropped(first_seq=first_seq, frame_count=frame_count))

    def _drop_oldest(self) -> None:
        """Makes a note of the oldest frame, one with the notes before and after it."""
        first = self.waiting.popleft()
        if isinstance(first, pb.Frame):
            note = pb.FramesDropped(first_seq=first.seq, frame_count=1)
        else:
            self.waiting.popleft()  # the frame behind the note
            note = pb.FramesDropped(first_seq=first.first_seq, frame_count=first.frame_count + 1)
        if self.waiting and isinstance(after := self.waiting[0], pb.FramesDropped):
            self.waiting.popleft()
            note.frame_count += after.frame_count
        self.waiting.appendleft(note)
        self.frame_count -= 1
        self.dropped_count += 1

    def drop_waiting(self) -> None:
        """Drops all frames that still wait: the story is over."""
        while self.frame_count:
            self._drop_oldest()

    async def wait_until_empty(self) -> None:
        """Waits until nothing waits that may still go."""
        while self.waiting and not (self.closed and self.blocked):
            self._moved.clear()
            await self._moved.wait()

    def pop_next(self) -> pb.ComposeResponse | None:
        """What goes next, if anything may: a note of frames left out needs no credit."""
        if not self.waiting or (self.blocked and isinstance(self.waiting[0], pb.Frame)):
            return None
        item = self.waiting.popleft()
        self._moved.set()
        if isinstance(item, pb.FramesDropped):
            return pb.ComposeResponse(frames_dropped=item)
        if self.credit is not None:
            self.credit -= 1
        self.frame_count -= 1
        self.lag_s = self.age_s(item.pts_us)
        if self.backlog is not None:
            LIVE_LAG.observe(self.lag_s)
        return pb.ComposeResponse(frame=item)
