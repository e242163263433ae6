"""Maps a song's sentiments to the scale of pictures, so that typical music gets the engine's typical picture.

Source: Passalis & Doropoulos (2021), section 3.2, z-scores on both sides: our `relative`.
Differs: `absolute` measures every song against music in general and is the default, so that a sad song has a sad
story; `adaptive` is the causal form of `relative`; a constant sentiment is typical (the original divides by zero).
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.composer.story.timeline import Point

__all__ = ["Norm", "Scale", "build_scale"]

FLAT = 0.02  # a sentiment with a smaller standard deviation counts as constant
PRIOR_COUNT = 16  # weight, in points, of music in general at the start of `adaptive`


@dataclass(frozen=True)
class Norm:
    """Mean and spread (standard deviation) of arousal and valence, each (2,)."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def of(cls, sentiments: NDArray[np.float64]) -> "Norm":
        """The norm of sentiments (n, 2)."""
        return cls(sentiments.mean(axis=0), sentiments.std(axis=0))

    def rescale(self, sentiment: NDArray[np.float64], other: "Norm") -> NDArray[np.float64]:
        """Maps a sentiment (2,) to the same z-score in another norm, clipped to [-1, 1]; 0 if this norm is constant."""
        z_score = np.where(self.spread > FLAT, (sentiment - self.mean) / np.maximum(self.spread, FLAT), 0.0)
        return np.asarray((other.mean + other.spread * z_score).clip(-1, 1))


class Scale(Protocol):
    """Rescales the points of one song; some scales hold points back until the song ends."""

    def add(self, point: Point) -> list[Point]:
        """Adds the next point; returns the rescaled points that are final."""
        ...

    def finish(self) -> list[Point]:
        """Returns the points that were held back, rescaled."""
        ...


class Absolute:
    """Measures every song against music in general."""

    def __init__(self, music: Norm, pictures: Norm) -> None:
        self._music, self._pictures = music, pictures

    def add(self, point: Point) -> list[Point]:
        """Returns the point, rescaled."""
        return [_rescale_point(point, self._music, self._pictures)]

    def finish(self) -> list[Point]:
        """Nothing was held back."""
        return []


class Relative:
    """Measures every song against itself; returns nothing before its end."""

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
    """Measures every song against its points so far, starting from music in general."""

    def __init__(self, music: Norm, pictures: Norm) -> None:
        self._music, self._pictures = music, pictures
        self._count = PRIOR_COUNT
        self._sums = PRIOR_COUNT * self._music.mean
        self._squares = PRIOR_COUNT * (self._music.spread**2 + self._music.mean**2)

    def add(self, point: Point) -> list[Point]:
        """Returns the point, rescaled."""
        sentiment = np.array([point.arousal, point.valence])
        self._count, self._sums, self._squares = self._count + 1, self._sums + sentiment, self._squares + sentiment**2
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
    """Makes a new scale.

    Args:
        mode: "absolute", "relative" or "adaptive".
        music: the norm of the audio model's sentiments over music in general.
        pictures: the norm of the engine's concepts.
    """
    scales: dict[str, type[Absolute | Relative | Adaptive]]
    scales = {"absolute": Absolute, "relative": Relative, "adaptive": Adaptive}
    return scales[mode](music, pictures)
