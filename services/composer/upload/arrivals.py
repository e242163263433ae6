"""Logs when a growing stream reached each position: bytes of an upload, or microseconds of a story's audio."""

from bisect import bisect_left
from collections.abc import Callable
from time import monotonic

__all__ = ["ArrivalLog"]

RESOLUTION_S = 0.01  # entries closer than this become one, at the earlier time, so that lag is never underestimated
MOST_MARKS = 8192  # entries; then the older half is deleted, which leaves at least 40 s


class ArrivalLog:
    """Positions of a growing stream, and the times at which they were reached.

    Args:
        clock: monotonic, seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.positions: list[int] = []
        self._times_s: list[float] = []

    def record(self, position: int, time_s: float | None = None) -> None:
        """Adds a position and when it was reached (default: now). A position not larger than the last is ignored."""
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
        """When the stream reached a position, on the clock; now if it has not yet."""
        place = bisect_left(self.positions, position)
        return self._times_s[place] if place < len(self._times_s) else self._clock()

    def age_s(self, position: int) -> float:
        """Seconds since the stream reached a position; 0 if it has not yet."""
        return self._clock() - self.arrival_s(position)
