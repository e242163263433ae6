"""Lets frames out only against credit: offline they wait for it, live the oldest give way."""

from __future__ import annotations

import asyncio
from collections import deque

from deepsing.runtime.errors import InvalidInput, TooLate
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["FrameGate"]

MOST_CREDIT = 1_000_000  # of one grant


class FrameGate:
    """Credit of one session, and the live frames that wait for it.

    Args:
        credit: frames that may go before the first grant; None is without end.
        backlog: live frames that may wait; None where frames are never dropped (offline).
        stall_s: time without credit after which an offline session is over.
    """

    def __init__(self, credit: int | None, backlog: int | None, stall_s: float) -> None:
        self.credit, self.backlog, self.stall_s = credit, backlog, stall_s
        self.waiting: deque[pb.Frame] = deque()
        self.dropped: list[pb.FramesDropped] = []
        self.dropped_count = 0
        self.closed = False
        self._granted = asyncio.Event()

    @property
    def blocked(self) -> bool:
        """Whether the next frame has to wait."""
        return self.credit == 0

    def grant(self, frames: int) -> None:
        """Takes a grant from the caller."""
        if not 1 <= frames <= MOST_CREDIT:
            message = f"credit is {frames}; grant 1 to {MOST_CREDIT}"
            reason = reasons.ERROR_REASON_CREDIT_OUT_OF_RANGE
            raise InvalidInput(message, reason=reason, field="credit", value=frames)
        if self.credit is not None:
            self.credit += frames
        self._granted.set()

    def close(self) -> None:
        """No grant will come any more."""
        self.closed = True
        self._granted.set()

    async def granted(self) -> None:
        """Waits until a frame may go; raises TooLate CREDIT_STALLED where none may for too long, or ever."""
        while self.blocked:
            self._granted.clear()
            try:
                if not self.closed:
                    await asyncio.wait_for(self._granted.wait(), self.stall_s)
            except TimeoutError:
                self.closed = True
            if self.blocked and self.closed:
                message = f"no credit came for {self.stall_s:g} s, or none can come any more; grant some sooner"
                raise TooLate(message, reason=reasons.ERROR_REASON_CREDIT_STALLED)

    def offer(self, frame: pb.Frame) -> None:
        """Adds a frame; where too many wait, the oldest is dropped and noted."""
        self.waiting.append(frame)
        if self.backlog is not None and len(self.waiting) > self.backlog:
            self._drop(self.waiting.popleft().seq)

    def _drop(self, seq: int) -> None:
        self.dropped_count += 1
        if self.dropped and self.dropped[-1].first_seq + self.dropped[-1].frame_count == seq:
            self.dropped[-1].frame_count += 1
        else:
            self.dropped.append(pb.FramesDropped(first_seq=seq, frame_count=1))

    def give_up(self) -> None:
        """Drops all that still waits: the story is over."""
        while self.waiting:
            self._drop(self.waiting.popleft().seq)

    def released(self) -> list[pb.ComposeResponse]:
        """What may be sent now, in order: notes of dropped frames first, then frames."""
        out = [pb.ComposeResponse(frames_dropped=note) for note in self.dropped]
        self.dropped = []
        while self.waiting and not self.blocked:
            if self.credit is not None:
                self.credit -= 1
            out.append(pb.ComposeResponse(frame=self.waiting.popleft()))
        return out
