"""Averages over the past of a stream: all that this service keeps of it."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["RunningMean", "ramp"]

F64 = NDArray[np.float64]


def ramp(elapsed_s: float | F64, time_constant_s: float) -> F64:
    """Grows from 0 towards 1 with time, exponentially."""
    return 1.0 - np.exp(-np.asarray(elapsed_s, np.float64) / time_constant_s)


class RunningMean:
    """A weighted mean in which older values weigh less, and those beyond a limit nothing.

    Args:
        keep: factor of a weight for each step of age, (0, 1]; 1 is a plain mean.
        limit: how many past steps count; 0 is no limit.
    """

    def __init__(self, keep: float, limit: int = 0) -> None:
        self._keep = keep
        self._limit = limit
        self._total: F64 | float = 0.0
        self._weight = 0.0
        self._recent: deque[tuple[F64, float]] = deque(maxlen=limit or 1)

    def add(self, value: F64, weight: float) -> None:
        """Adds the value of one step."""
        self._total = self._total * self._keep + value * weight
        self._weight = self._weight * self._keep + weight
        if self._limit:
            if len(self._recent) == self._limit:
                old, old_weight = self._recent[0]
                left = self._keep**self._limit * old_weight
                self._total, self._weight = self._total - old * left, max(0.0, self._weight - left)
            self._recent.append((value, weight))

    def mean(self) -> F64 | None:
        """The mean; None if all weights are 0."""
        return np.asarray(self._total / self._weight) if self._weight > 1e-9 else None
