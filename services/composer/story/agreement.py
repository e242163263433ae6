"""Agreement of two signals: Pearson's r, Lin's concordance (CCC) and the root mean square error."""

from dataclasses import dataclass
from math import sqrt

__all__ = ["Agreement", "RunningAgreement"]

CONSTANT = 1e-9  # a signal whose variance is not larger is constant


@dataclass(frozen=True)
class Agreement:
    """r and ccc in [-1, 1] (0 if a signal is constant), rmse in the signals' unit, over n pairs."""

    r: float
    ccc: float
    rmse: float
    n: int

    @classmethod
    def from_moments(
        cls, means: tuple[float, float], variances: tuple[float, float], covariance: float, squared_error: float, n: int
    ) -> "Agreement":
        """Computes the agreement of two signals from their moments.

        Args:
            means: means of both signals.
            variances: variances of both signals, divided by n, not by n - 1.
            covariance: their covariance, divided by n.
            squared_error: mean square of their difference.
            n: pairs, at least 1.
        """
        xx, yy = variances
        if min(xx, yy) <= CONSTANT:
            return cls(0.0, 0.0, sqrt(squared_error), n)
        ccc = 2 * covariance / (xx + yy + (means[0] - means[1]) ** 2)
        return cls(covariance / sqrt(xx * yy), ccc, sqrt(squared_error), n)


class RunningAgreement:
    """Computes the agreement of a stream of pairs in constant memory."""

    def __init__(self) -> None:
        self._n = 0
        self._mean_x = self._mean_y = self._xx = self._yy = self._xy = self._squared_error = 0.0

    def add(self, x: float, y: float) -> None:
        """Adds a pair (Welford's update, numerically stable over hours of frames)."""
        self._n += 1
        dx, dy = x - self._mean_x, y - self._mean_y
        self._mean_x += dx / self._n
        self._mean_y += dy / self._n
        self._xx += dx * (x - self._mean_x)
        self._yy += dy * (y - self._mean_y)
        self._xy += dx * (y - self._mean_y)
        self._squared_error += (x - y) ** 2

    def result(self) -> Agreement:
        """The agreement of all pairs so far."""
        if self._n == 0:
            return Agreement(0.0, 0.0, 0.0, 0)
        means, variances = (self._mean_x, self._mean_y), (self._xx / self._n, self._yy / self._n)
        return Agreement.from_moments(means, variances, self._xy / self._n, self._squared_error / self._n, self._n)
