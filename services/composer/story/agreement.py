"""How near one signal is to another: Pearson's r, Lin's concordance and the root mean square error."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

__all__ = ["Agreement", "RunningAgreement"]

CONSTANT = 1e-9  # a variance below this is none


@dataclass(frozen=True)
class Agreement:
    """r and ccc in [-1, 1] (0 where a signal is constant), rmse in the signals' unit, over n pairs."""

    r: float
    ccc: float
    rmse: float
    n: int


class RunningAgreement:
    """Sums that grow by one pair at a time; memory is six numbers."""

    def __init__(self) -> None:
        self.n = 0
        self.mean_x = self.mean_y = self.xx = self.yy = self.xy = self.squared_error = 0.0

    def add(self, x: float, y: float) -> None:
        """Takes the next pair (Welford's update, stable over hours of frames)."""
        self.n += 1
        dx, dy = x - self.mean_x, y - self.mean_y
        self.mean_x += dx / self.n
        self.mean_y += dy / self.n
        self.xx += dx * (x - self.mean_x)
        self.yy += dy * (y - self.mean_y)
        self.xy += dx * (y - self.mean_y)
        self.squared_error += (x - y) ** 2

    def result(self) -> Agreement:
        """The agreement of all pairs so far."""
        if self.n == 0:
            return Agreement(0.0, 0.0, 0.0, 0)
        xx, yy, xy = self.xx / self.n, self.yy / self.n, self.xy / self.n
        r = xy / sqrt(xx * yy) if min(xx, yy) > CONSTANT else 0.0
        apart = xx + yy + (self.mean_x - self.mean_y) ** 2
        ccc = 2 * xy / apart if apart > CONSTANT else 0.0
        return Agreement(r, ccc, sqrt(self.squared_error / self.n), self.n)
