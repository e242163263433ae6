"""Sentiment curves to measure translators on, and the measures: pure."""

from __future__ import annotations

import numpy as np

from services.translator.lexicon import F64, Lexicon

__all__ = ["agreement", "random_walk"]

REACHABLE = 1e-6  # squared distance within which a mixture of two concepts counts as a target met
INERTIA, STEP = 0.8, 0.025  # a curve drifts rather than jitters: about 0.04 of the plane's half-side a point


def random_walk(lexicon: Lexicon, seed: int, count: int) -> F64:
    """A slowly moving curve over the part of the plane that the concepts reach, (count, 2)."""
    rng = np.random.default_rng(seed)
    point, speed = lexicon.ratings[rng.integers(len(lexicon.names))], np.zeros(2)
    points = np.empty((count, 2))
    for row in range(count):
        speed = INERTIA * speed + rng.normal(0, STEP, 2)
        while lexicon.blends(point + speed)[1].min() > REACHABLE:  # bounces off the edge
            speed = -0.5 * speed
        point = point + speed
        points[row] = point
    return points


def agreement(target: F64, achieved: F64) -> dict[str, dict[str, float]]:
    """How well (n, 2) values follow (n, 2) targets: Pearson r, concordance (CCC) and root mean square error.

    r and CCC are 0 where either side is constant: nothing follows.
    """
    measures = {}
    for column, name in enumerate(("arousal", "valence")):
        x, y = target[:, column].astype(np.float64), achieved[:, column].astype(np.float64)
        shared = float(np.mean((x - x.mean()) * (y - y.mean())))
        spread = float(x.std() * y.std())
        measures[name] = {
            "r": shared / spread if spread > 0 else 0.0,
            "ccc": 2 * shared / float(x.var() + y.var() + (x.mean() - y.mean()) ** 2) if spread > 0 else 0.0,
            "rmse": float(np.sqrt(np.mean((x - y) ** 2))),
        }
    return measures
