"""Puts the feelings of a song on the scale of pictures.

Source: Passalis & Doropoulos (2021), section 3.2, z-score each song: our `relative`.
Differs: `absolute` is the default, so that a sad song has a sad story; `adaptive` is the causal form of `relative`;
a constant feeling maps to neutral (the original divides by zero).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

from services.composer.timeline import Point

__all__ = ["Adaptive", "Relative", "scale_of"]

SPREAD = 0.4  # one standard deviation of a song on the sentiment plane
FLAT = 0.02  # a song whose feelings vary less than this is taken as constant
PRIOR_SPREAD, PRIOR_COUNT = 0.25, 16  # what `adaptive` believes before it has heard much, and for how many points


class Relative:
    """Each song on its own z-score; gives nothing before the song is over."""

    def __init__(self) -> None:
        self.heard: list[Point] = []

    def add(self, point: Point) -> list[Point]:
        """Keeps the point; returns none."""
        self.heard.append(point)
        return []

    def finish(self) -> list[Point]:
        """All points, z-scored."""
        arousal = _z_score([p.arousal for p in self.heard])
        valence = _z_score([p.valence for p in self.heard])
        return [replace(p, arousal=a, valence=v) for p, a, v in zip(self.heard, arousal, valence, strict=True)]


def _z_score(values: list[float]) -> list[float]:
    mean = sum(values) / max(1, len(values))
    spread = sqrt(sum((x - mean) ** 2 for x in values) / max(1, len(values)))
    return [_clip(SPREAD * (x - mean) / spread) if spread > FLAT else 0.0 for x in values]


def _clip(x: float) -> float:
    return min(1.0, max(-1.0, x))


class Adaptive:
    """A running z-score over what was heard so far, starting from a belief about songs in general."""

    def __init__(self) -> None:
        self.count = PRIOR_COUNT
        self.sums = [0.0, 0.0]
        self.squares = [PRIOR_COUNT * PRIOR_SPREAD**2] * 2

    def add(self, point: Point) -> list[Point]:
        """Returns the point, scaled."""
        self.count += 1
        scaled = [self._scaled(axis, x) for axis, x in enumerate((point.arousal, point.valence))]
        return [replace(point, arousal=scaled[0], valence=scaled[1])]

    def _scaled(self, axis: int, x: float) -> float:
        self.sums[axis] += x
        self.squares[axis] += x * x
        mean = self.sums[axis] / self.count
        spread = sqrt(max(FLAT**2, self.squares[axis] / self.count - mean**2))
        return _clip(SPREAD * (x - mean) / spread)

    def finish(self) -> list[Point]:
        """Nothing was held back."""
        return []


class Absolute:
    """The model's own scale."""

    def add(self, point: Point) -> list[Point]:
        """Returns the point as it is."""
        return [point]

    def finish(self) -> list[Point]:
        """Nothing was held back."""
        return []


def scale_of(mode: str) -> Absolute | Relative | Adaptive:
    """A fresh scale: "absolute", "relative" or "adaptive"."""
    scales: dict[str, Callable[[], Absolute | Relative | Adaptive]]
    scales = {"absolute": Absolute, "relative": Relative, "adaptive": Adaptive}
    return scales[mode]()
