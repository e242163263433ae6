"""Sentiment curves to measure translators on."""

from __future__ import annotations

import numpy as np

from services.translator.lexicon import F64, Lexicon

__all__ = ["random_walk"]

INERTIA, STEP = 0.8, 0.025  # a curve drifts rather than jitters: about 0.04 of the plane's half-side a point
SIDES = 64  # of the polygon around the concepts


def random_walk(lexicon: Lexicon, seed: int, count: int) -> F64:
    """A slowly moving curve over the part of the plane that lies between concepts (their convex hull), (count, 2)."""
    rng = np.random.default_rng(seed)
    angles = np.arange(SIDES) * 2 * np.pi / SIDES
    outward = np.stack([np.cos(angles), np.sin(angles)])
    edge = (lexicon.ratings @ outward).max(0)
    point, speed = lexicon.ratings[rng.integers(len(lexicon.names))], np.zeros(2)
    points = np.empty((count, 2))
    for row in range(count):
        speed = INERTIA * speed + rng.normal(0, STEP, 2)
        while ((point + speed) @ outward > edge + 1e-9).any():  # bounces off the edge
            speed = -0.5 * speed
        point = point + speed
        points[row] = point
    return points
