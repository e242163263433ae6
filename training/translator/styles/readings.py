"""What readers of pictures make of each painting style: the same pictures read before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.translator.lexicon import F32, F64
from training.agreement import pearson_rs

__all__ = ["StyleReadings", "feeling_correlation", "style_sentiments"]


@dataclass(frozen=True)
class StyleReadings:
    """One reader's view of N pictures without and with each of S styles."""

    plain: F64  # (N, 2), arousal and valence
    styled: F64  # (S, N, 2)

    @classmethod
    def from_features(cls, read: Callable[[F32], F64], plain: F32, styled: Sequence[F32]) -> StyleReadings:
        """Reads features: of the plain pictures (N, D), and for each style of the styled ones (N, D)."""
        return cls(read(plain), np.stack([read(features) for features in styled]))

    def select(self, styles: NDArray[np.int64]) -> F64:
        """The readings of every picture in a style of its own: (N,) → (N, 2)."""
        return np.asarray(self.styled[styles, np.arange(len(styles))])


def feeling_correlation(plain: F64, styled: F64) -> float:
    """How much of what is felt at pictures a style leaves: r of readings (N, 2) and (N, 2), mean of both dimensions."""
    return float(np.mean(list(pearson_rs(plain, styled).values())))


def style_sentiments(readings: StyleReadings, ratings: F64) -> F64:
    """The sentiment of each style, on the scale of people's ratings: (S, 2) in [-1, 1].

    The typical style stands in the middle of the ratings, because all styles take some pleasantness away and the
    difference between them is what can follow a feeling. From there a style lies as many standard deviations of the
    ratings away as its mean reading does in those of the unstyled readings: readers are more cautious than people.
    """
    means = readings.styled.mean(axis=1)
    unusual = (means - means.mean(axis=0)) / readings.plain.std(axis=0)
    return np.asarray((ratings.mean(axis=0) + ratings.std(axis=0) * unusual).clip(-1, 1))
