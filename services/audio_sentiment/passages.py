"""Finds where the music changes, and which passages sound alike.

In coordinates that training found (`PassageModel`), the windows of one passage scatter around a centre with unit
variance, and the centres of passages scatter far more widely: probabilistic linear discriminant analysis (Ioffe 2006).
So it is known how likely a stretch of windows is as one passage, its centre integrated out. The passages are the
division of the song of the greatest evidence, less CHANGE_COST for every change; dynamic programming finds it as
windows come.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.feature_extractor import Window

__all__ = ["BLOCK_DELAY", "PassageFinder", "PassageModel", "Sections", "describe_sound"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

BLOCK_DELAY = 2  # windows by which Window.block trails the rest
REACH = 3.0  # standard deviations; bounds what one odd window can do
# Chosen on medleys of the training songs, see the model card.
CORRELATION = 3.0  # windows that say as much as one alone: neighbours are alike
CHANGE_COST = 24.0  # evidence (natural logarithm of likelihoods) that a change has to bring
SHORTEST = 4  # windows of a passage, at least
CANDIDATES = 160  # starts of the latest passage that are weighed against each other
HISTORY = 256  # windows whose coordinates are kept
NEIGHBOURHOOD = 60  # windows on each side of a change from which its strength is measured
ALIKE = -5.0  # evidence from which a passage continues a section; below 0, as a song's excerpts differ a little


def describe_sound(window: Window, later: Window) -> F32:
    """What a passage is known by, (features,): the network's pools, timbre, pitches, loudness and harmony.

    Args:
        window: of that half second.
        later: the window BLOCK_DELAY later, whose block describes the same half second; its harmony trails, too.
    """
    loudness = np.array([window.loudness], np.float32)
    return np.concatenate([later.block.ravel(), window.timbre, window.pitches, loudness, later.harmony])


@dataclass(frozen=True)
class PassageModel:
    """Coordinates in which passages differ.

    Attributes:
        sound_mean, sound_spread: (features,), of `describe_sound` in training.
        sound_view: (features, dimensions), from standardised features to coordinates.
        sound_origin: (dimensions,), where music in general lies in them.
        centre_variance: (dimensions,), of the centres of passages; the windows of one passage have variance 1.
    """

    sound_mean: F32
    sound_spread: F32
    sound_view: F32
    sound_origin: F32
    centre_variance: F32

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "PassageModel":
        """Takes the arrays of a model file, by attribute name."""
        return cls(**{name: np.asarray(arrays[name], np.float32) for name in cls.__annotations__})

    def locate(self, sound: F32) -> F64:
        """The coordinates of a window, (dimensions,), from its `describe_sound`."""
        z = np.clip((sound - self.sound_mean) / self.sound_spread, -REACH, REACH)
        return np.asarray(z @ self.sound_view - self.sound_origin, np.float64)

    def weigh(self, count: F64, total: F64) -> F64:
        """Evidence that windows are one passage, against windows of a passage of no known centre, (n,).

        Args:
            count: (n,), how many windows.
            total: (n, dimensions), sums of their coordinates.
        """
        precision = np.asarray(count)[..., None] / CORRELATION
        gain = self.centre_variance * (total / CORRELATION) ** 2 / (1.0 + precision * self.centre_variance)
        return np.asarray(0.5 * (gain - np.log1p(precision * self.centre_variance)).sum(axis=-1))

    def compare(self, ones: tuple[float, F64], others: tuple[float, F64]) -> float:
        """Evidence that two stretches of windows are one passage rather than two; each is (count, total)."""
        (count, total), (other_count, other_total) = ones, others
        counts = np.array([count, other_count, count + other_count])
        first, second, both = self.weigh(counts, np.stack([total, other_total, total + other_total]))
        return float(both - first - second)


class PassageFinder:
    """Divides a song into passages while its windows come; what it keeps does not grow with the song."""

    def __init__(self, model: PassageModel) -> None:
        self._model = model
        self.count = 0  # windows so far
        self._totals: dict[int, F64] = {0: np.zeros(model.centre_variance.size)}  # sums before each kept window
        self._back: dict[int, int] = {}  # for each end: the start of the last passage of the best division up to it
        self._starts = np.array([0])  # candidates for the start of the latest passage
        self._before = np.zeros((1, model.centre_variance.size))  # sums before them
        self._best = np.zeros(1)  # evidence of the best division up to them

    def add(self, coordinates: F64) -> None:
        """Adds the next window, by `PassageModel.locate`."""
        total = self._totals[self.count] + coordinates
        self.count += 1
        self._totals[self.count] = total
        lengths = self.count - self._starts
        evidence = self._best + self._model.weigh(lengths.astype(np.float64), total - self._before)
        evidence -= CHANGE_COST * (self._starts > 0)
        ripe = (lengths >= SHORTEST) | (self._starts == 0)
        chosen = int(np.argmax(np.where(ripe, evidence, -np.inf)))
        self._back[self.count] = int(self._starts[chosen])
        if len(self._starts) >= CANDIDATES:
            keep = np.arange(len(self._starts)) != np.argmin(np.where(ripe, evidence, np.inf))
            self._starts, self._before, self._best = self._starts[keep], self._before[keep], self._best[keep]
        if self.count >= SHORTEST:
            self._starts = np.append(self._starts, self.count)
            self._before = np.vstack([self._before, total])
            self._best = np.append(self._best, evidence[chosen])
        for kept in (self._totals, self._back):
            kept.pop(self.count - HISTORY, None)

    def starts(self) -> list[int]:
        """Where the passages of the best division start, as window numbers in order.

        The first is the start of the passage in which the kept HISTORY begins; older ones are left out.
        """
        found, end = [], self.count
        while end in self._back:
            end = self._back[end]
            found.append(end)
        return found[::-1] or [0]

    def strengths(self, starts: list[int]) -> list[float]:
        """How strong the changes at `starts()[1:]` are, >= 0: evidence that what is on both sides differs."""
        edges = [*starts, self.count]
        strengths = []
        for before, start, end in zip(edges, edges[1:], edges[2:], strict=False):
            left = self.sum_between(max(before, start - NEIGHBOURHOOD), start)
            right = self.sum_between(start, min(end, start + NEIGHBOURHOOD))
            strengths.append(max(0.0, -self._model.compare(left, right)))
        return strengths

    def sum_between(self, start: int, end: int) -> tuple[float, F64]:
        """Number of windows in [start, end), and the sum of their coordinates; only kept ones count."""
        oldest = max(0, self.count - HISTORY + 1)
        start, end = max(start, oldest), max(end, oldest)
        return float(end - start), self._totals[end] - self._totals[start]


class Sections:
    """Numbers passages so that those which sound alike have one number."""

    def __init__(self, model: PassageModel) -> None:
        self._model = model
        self._known: list[tuple[float, F64]] = []

    def classify(self, passage: tuple[float, F64]) -> int:
        """The section of the next passage, whose windows are given as (count, total); a new one if none is like it."""
        evidence = [self._model.compare(passage, section) for section in self._known]
        best = int(np.argmax(evidence)) if evidence else 0
        if not evidence or evidence[best] < ALIKE:
            self._known.append(passage)
            return len(self._known) - 1
        count, total = self._known[best]
        self._known[best] = count + passage[0], total + passage[1]
        return best
