"""Puts the feelings of a song on the scale of pictures: typical music meets the engine's typical picture.

Source: Passalis & Doropoulos (2021), section 3.2, z-scores on both sides: our `relative`.
Differs: `absolute` measures every song against music in general and is the default, so that a sad song has a sad
story; `adaptive` is the causal form of `relative`; a constant feeling is typical (the original divides by zero).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.composer.story.timeline import Point

__all__ = ["Norm", "Scale", "build_scale"]

FLAT = 0.02  # a song whose feelings spread less than this is taken as constant
PRIOR_COUNT = 16  # points for which `adaptive` believes in music in general before it trusts what it heard


@dataclass(frozen=True)
class Norm:
    """What is typical: mean and spread (standard deviation) of arousal and valence, each (2,)."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, feelings: NDArray[np.float64]) -> Norm:
        """The norm of feelings (n, 2)."""
        return cls(feelings.mean(axis=0), feelings.std(axis=0))

    def rescale(self, feeling: NDArray[np.float64], other: Norm) -> NDArray[np.float64]:
        """A feeling (2,) seen from here, as unusual there; within [-1, 1]. Where all is constant, all is typical."""
        unusual = np.where(self.spread > FLAT, (feeling - self.mean) / np.maximum(self.spread, FLAT), 0.0)
        return np.asarray((other.mean + other.spread * unusual).clip(-1, 1))


class Scale(Protocol):
    """A way to put points on the scale of pictures; some hold points back until the song is over."""

    def add(self, point: Point) -> list[Point]:
        """Takes the next point; returns those that are settled."""
        ...

    def finish(self) -> list[Point]:
        """Returns what was held back."""
        ...


class Absolute:
    """Every song against music in general."""

    def __init__(self, music: Norm, pictures: Norm) -> None:
        self._music, self._pictures = music, pictures

    def add(self, point: Point) -> list[Point]:
        """Returns the point, rescaled."""
        return [_rescale_point(point, self._music, self._pictures)]

    def finish(self) -> list[Point]:
        """Nothing was held back."""
        return []


class Relative:
    """Every song against itself; gives nothing before it is over."""

    def __init__(self, music: Norm, pictures: Norm) -> None:
        self._music, self._pictures = music, pictures
        self._points: list[Point] = []

    def add(self, point: Point) -> list[Point]:
        """Keeps the point; returns none."""
        self._points.append(point)
        return []

    def finish(self) -> list[Point]:
        """All points, rescaled."""
        if not self._points:
            return []
        song = Norm.of(np.array([(point.arousal, point.valence) for point in self._points]))
        return [_rescale_point(point, song, self._pictures) for point in self._points]


class Adaptive:
    """Every song against what was heard of it so far, starting from music in general."""

    def __init__(self, music: Norm, pictures: Norm) -> None:
        self._music, self._pictures = music, pictures
        self._count = PRIOR_COUNT
        self._sums = PRIOR_COUNT * self._music.mean
        self._squares = PRIOR_COUNT * (self._music.spread**2 + self._music.mean**2)

    def add(self, point: Point) -> list[Point]:
        """Returns the point, rescaled."""
        feeling = np.array([point.arousal, point.valence])
        self._count, self._sums, self._squares = self._count + 1, self._sums + feeling, self._squares + feeling**2
        mean = self._sums / self._count
        spread = np.sqrt(np.maximum(self._squares / self._count - mean**2, FLAT**2))
        return [_rescale_point(point, Norm(mean, spread), self._pictures)]

    def finish(self) -> list[Point]:
        """Nothing was held back."""
        return []


def _rescale_point(point: Point, music: Norm, pictures: Norm) -> Point:
    arousal, valence = music.rescale(np.array([point.arousal, point.valence]), pictures)
    return replace(point, arousal=float(arousal), valence=float(valence))


def build_scale(mode: str, music: Norm, pictures: Norm) -> Scale:
    """Makes a fresh scale.

    Args:
        mode: "absolute", "relative" or "adaptive".
        music: the norm of the audio model's readings of music in general.
        pictures: the norm of the engine's concepts.
    """
    scales: dict[str, type[Absolute | Relative | Adaptive]]
    scales = {"absolute": Absolute, "relative": Relative, "adaptive": Adaptive}
    return scales[mode](music, pictures)
