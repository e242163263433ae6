"""What a neural view learns from: its classes, and the mean sentiment and noise of their sub-classes.

Source: Passalis & Doropoulos (2021), section 3.3. KMeans over the sentiments of samples; one class per cluster, drawn
by how often it occurs there; its samples split again, and each part replaced by its mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.translator.lexicon import F32, F64

__all__ = ["TrainingSet", "build_training_set", "kmeans"]

CLUSTERS = 10  # of sentiments: a view has as many classes
SUBCLASSES = 10  # of each class
STEPS = 1500  # of the optimiser, for one view
ROUNDS = 50  # of Lloyd's algorithm at most


@dataclass(frozen=True)
class TrainingSet:
    """What one view learns from: one row per sub-class."""

    classes: NDArray[np.int64]  # (C,), the concepts drawn
    labels: NDArray[np.int64]  # (S,), index into classes
    sentiments: F64  # (S, 2), standardised
    noise: F32  # (S, Z)
    weights: F64  # (S,), samples in each sub-class


def kmeans(points: F64, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Groups points (n, d) around `count` centres (k-means++ start, Lloyd's rounds): the group of each, (n,).

    With fewer points than centres every point is a group of its own.
    """
    if len(points) <= count:
        return np.arange(len(points))
    centres = points[rng.integers(len(points), size=1)]
    while len(centres) < count:
        gap = np.square(points[:, None] - centres[None]).sum(-1).min(1)
        total = gap.sum()
        pick = rng.choice(len(points), size=1, p=gap / total if total > 0 else None)
        centres = np.concatenate([centres, points[pick]])
    groups = np.full(len(points), -1)
    for _ in range(ROUNDS):
        nearest = np.square(points[:, None] - centres[None]).sum(-1).argmin(1)
        if np.array_equal(nearest, groups):
            break
        groups = nearest
        for group in np.unique(groups):
            centres[group] = points[groups == group].mean(0)
    return groups


def build_training_set(concepts: NDArray[np.int64], sentiments: F64, noise: F32, seed: int) -> TrainingSet:
    """Draws the classes of one view and condenses their samples.

    Args:
        concepts: (N,), concept of every sample.
        sentiments: (N, 2), standardised readings.
        noise: (N, Z).
        seed: another seed draws another view.
    """
    rng = np.random.default_rng(seed)
    clusters = kmeans(sentiments, CLUSTERS, rng)
    classes: list[int] = []
    rows: list[tuple[int, F64, F32, float]] = []
    for cluster in np.unique(clusters):
        inside = clusters == cluster
        free = concepts[inside & ~np.isin(concepts, classes)]
        if not len(free):  # every concept of this cluster is the class of another one already
            continue
        names, counts = np.unique(free, return_counts=True)
        drawn = int(rng.choice(names, p=counts / counts.sum()))
        own = np.flatnonzero(inside & (concepts == drawn))
        parts = kmeans(sentiments[own], SUBCLASSES, rng)
        for part in np.unique(parts):
            members = own[parts == part]
            rows.append((len(classes), sentiments[members].mean(0), noise[members].mean(0), float(len(members))))
        classes.append(drawn)
    labels, feelings, means, sizes = zip(*rows, strict=True)
    return TrainingSet(np.array(classes), np.array(labels), np.stack(feelings), np.stack(means), np.array(sizes))
