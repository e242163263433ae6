"""When a stream had grown how far: of the bytes of an upload, and of the time of the story that they hold."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from time import monotonic

__all__ = ["ArrivalLog"]

RESOLUTION_S = 0.01  # marks nearer than this are one, at the earlier time: lag is never told too small
MOST_MARKS = 8192  # half of them are forgotten then; at one in RESOLUTION_S that leaves 40 s


class ArrivalLog:
    """Positions of a growing stream, and the times at which they were reached.

    Args:
        clock: gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.positions: list[int] = []
        self._times_s: list[float] = []

    def record(self, position: int, time_s: float | None = None) -> None:
        """Takes a position, and when it was reached (now, where that is not said); one that lies behind is no news."""
        time_s = self._clock() if time_s is None else time_s
        if self.positions and position <= self.positions[-1]:
            return
        if self._times_s and time_s - self._times_s[-1] < RESOLUTION_S:
            self.positions[-1] = position
            return
        self.positions.append(position)
        self._times_s.append(time_s)
        if len(self.positions) > MOST_MARKS:
            del self.positions[: MOST_MARKS // 2], self._times_s[: MOST_MARKS // 2]

    def arrival_s(self, position: int) -> float:
        """When the stream was that long, on the clock; now, where it is not yet."""
        place = bisect_left(self.positions, position)
        return self._times_s[place] if place < len(self._times_s) else self._clock()

    def age_s(self, position: int) -> float:
        """How long ago the stream was that long; 0 where it is not yet."""
        return self._clock() - self.arrival_s(position)
