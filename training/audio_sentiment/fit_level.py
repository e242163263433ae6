"""Fits the level: a line over what a piece is like on average, and what the rated pieces near it were felt to be.

Gaussian-process regression with two kernels, of unit noise. The linear one is a ridge; the other falls with the
distance between two pieces, in the ridge's own measure: what the ridge trusts little counts little for it, too.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_level", "pairwise_distances"]

F64 = NDArray[np.float64]


def fit_level(
    averages: F64, wanted: F64, weights: F64, penalty: F64, *, share: float, width: float, dimensions: int
) -> dict[str, F64]:
    """Fits a model's level.

    Args:
        averages: (songs, features), of each song's windows.
        wanted: (songs, 2), targets.
        weights: (songs,), how much each counts.
        penalty: (features, features), the ridge.
        share: variance of the kernel of distances; 0 leaves the line alone.
        width: of that kernel, in medians of the distance between two songs.
        dimensions: in which distances are taken, the principal ones.

    Returns:
        level, level_bias, view, centres and centre_weights of `sentiment.SentimentModel`.
    """
    total = weights.sum()
    centre, middle = (weights @ values / total for values in (averages, wanted))
    measure = np.linalg.inv(np.linalg.cholesky(penalty)).T
    songs = (averages - centre) @ measure
    axes = _principal(songs, dimensions)
    distances = pairwise_distances(songs @ axes, songs @ axes)
    reach = np.sqrt(2.0 * max(float(np.median(distances)), 1e-9)) * width
    kernel = songs @ songs.T / total + share * np.exp(-distances / reach**2)
    root = np.sqrt(weights)[:, None]
    found = root * np.linalg.solve(root * kernel * root.T + np.eye(len(songs)), root * (wanted - middle))
    level = measure @ (songs.T @ found) / total
    view = measure @ axes / reach
    return {
        "level": level,
        "level_bias": middle - centre @ level,
        "view": view,
        "centres": averages @ view,
        "centre_weights": share * found,
    }


def pairwise_distances(ones: F64, others: F64) -> F64:
    """(ones, others), of rows."""
    squares = (ones**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2.0 * ones @ others.T
    return np.asarray(np.maximum(squares, 0.0))


def _principal(rows: F64, count: int) -> F64:
    """Principal axes of rows that are centred, (features, at most count)."""
    _, _, axes = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(axes[:count].T)
