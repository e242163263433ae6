"""How well readings agree with ratings: correlation, concordance, error, sign accuracy, quadrant F1."""

__all__ = ["agreement", "bootstrap_intervals", "correlation", "quadrant_f1"]


from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def correlation(reading: F64, rating: F64) -> float:
    """Pearson's r of two (n,) series; 0 where one of them does not vary."""
    a, b = reading - reading.mean(), rating - rating.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 1e-12 else 0.0


def agreement(reading: F64, rating: F64) -> dict[str, float]:
    """Compares readings with ratings of one dimension.

    Args:
        reading: (n,) in [-1, 1]; n >= 1.
        rating: (n,), 0 = neutral.

    Returns:
        `r` (Pearson), `ccc` (Lin's concordance), `rmse`, `accuracy` (share with the rating's sign; a rating of
        exactly 0 counts as positive).
    """
    gap = float(reading.mean() - rating.mean())
    spread = float(reading.var() + rating.var()) + gap * gap
    covariance = float(((reading - reading.mean()) * (rating - rating.mean())).mean())
    return {
        "r": correlation(reading, rating),
        "ccc": 2.0 * covariance / spread if spread > 1e-12 else 0.0,
        "rmse": float(np.sqrt(((reading - rating) ** 2).mean())),
        "accuracy": float(((reading >= 0) == (rating >= 0)).mean()),
    }


def quadrant_f1(reading: F64, rating: F64) -> float:
    """Mean F1 over the quadrants that the ratings hold.

    Args:
        reading: (n, 2), arousal and valence.
        rating: (n, 2), of which only the signs count.
    """
    predicted, truth = ((2 * (xy[:, 0] >= 0) + (xy[:, 1] >= 0)) for xy in (reading, rating))
    scores = []
    for quadrant in np.unique(truth):
        hits = float(((predicted == quadrant) & (truth == quadrant)).sum())
        scores.append(2.0 * hits / float((predicted == quadrant).sum() + (truth == quadrant).sum()))
    return float(np.mean(scores))


def bootstrap_intervals(
    measures: Callable[[F64, F64], Mapping[str, float]], reading: F64, rating: F64, *, draws: int = 1000, seed: int = 0
) -> dict[str, list[float]]:
    """95 % interval, low and high, of each measure over resampled songs (first axis)."""
    picks = np.random.default_rng(seed).integers(0, len(reading), (draws, len(reading)))
    found = [measures(reading[pick], rating[pick]) for pick in picks]
    return {name: np.percentile([row[name] for row in found], [2.5, 97.5]).tolist() for name in found[0]}
