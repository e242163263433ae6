"""Reads the sentiment of every window from the windows around it: while it is played, or with the song at hand.

Both readers average over the windows of the passage. Across a change of music the past is forgotten by as much as the
music has changed: windows on the other side weigh exp(-strength / FORGETTING). Within a passage weights fall with the
distance in time, backwards only (`LiveReader`) or on both sides (`WholeReader`).
"""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.feature_extractor import Window
from services.audio_sentiment.passages import (
    BLOCK_DELAY,
    SHORTEST,
    PassageFinder,
    PassageModel,
    Sections,
    describe_sound,
)
from services.audio_sentiment.running_mean import RunningMean, ramp
from services.audio_sentiment.sentiment import (
    SILENCE,
    WINDOW_S,
    SentimentModel,
    blend_with_silence,
    measure_audibility,
)

__all__ = ["LOOK_AHEAD_S", "LiveReader", "Pacing", "Reading", "SentimentReader", "WholeReader"]

F64 = NDArray[np.float64]

TRAIL = 5  # windows by which features trail the music: networks and harmony look two to three seconds back
KEPT = 240  # windows that averages reach back at most: two minutes
LOOK_AHEAD = 56  # windows, of WholeReader
LOOK_AHEAD_S = LOOK_AHEAD * WINDOW_S
FORGETTING = 20.0  # strength of a change that leaves 1/e of the past's weight
# Lag of live points inside a passage, in time constants of the smoothing: the shift at which arousal agrees best with
# arousal under a smoothing of 0.5 s. With 4 s: 1.0 s on the bundled song, 1.45 s (mean, n = 30 pieces of 60 to 120 s).
# Valence: 1.0 s.
LAG_SHARE = 0.3


@dataclass(frozen=True)
class Pacing:
    """Time constants: how fast other windows lose weight with their distance.

    Attributes:
        smoothing_s: of the average that a point follows inside a passage, seconds > 0.
        memory_s: of the level of a passage, and of what moves are measured from, seconds; at least smoothing_s is used.
        context_s: how much of the past may be used at all, seconds; 0 is no limit.
        evidence_s: with which points grow from neutral to full strength in a passage.
        acquaintance_s: with which the piece takes the place of music in general as what changes are measured from.
        level_s: standard deviation of the window of a passage's level around a point (whole), seconds.
    """

    smoothing_s: float = 4.0
    memory_s: float = 120.0
    context_s: float = 0.0
    evidence_s: float = 3.0
    acquaintance_s: float = 10.0
    level_s: float = 16.0

    @property
    def window_limit(self) -> int:
        """How many past windows may be used; 0 is no limit."""
        return math.ceil(self.context_s / WINDOW_S)

    @property
    def lag_s(self) -> float:
        """By about how much live points trail the music, seconds: they follow an average of the past."""
        return LAG_SHARE * self.smoothing_s


@dataclass(frozen=True)
class Reading:
    """The sentiment of one window; see AffectPoint in the contract."""

    arousal: float
    valence: float
    passage: int
    section: int
    certainty: tuple[float, float]


@dataclass(frozen=True)
class _Neighbours:
    """The kept windows around the one that is read.

    Attributes:
        rows: (n, 4 + dimensions), their projected features.
        audible: (n,), how much each counts.
        same_music: (n,), [0, 1], how much each belongs to the passage of the window that is read.
        distance_s: (n,), from that window to each, seconds; earlier ones are negative.
    """

    rows: F64
    audible: F64
    same_music: F64
    distance_s: F64

    def average(self, weights: F64) -> tuple[F64, float] | None:
        """The mean of the rows, and the sum of the weights; None if that is 0."""
        total = float(weights.sum())
        return (weights @ self.rows / total, total) if total > 1e-9 else None


class SentimentReader(ABC):
    """What both readers share: the kept windows, the passages, and the formula.

    Args:
        model: of sentiment.
        passage_model: of passages.
        pacing: time constants.
    """

    def __init__(self, model: SentimentModel, passage_model: PassageModel, pacing: Pacing) -> None:
        self._model, self._passage_model, self._pacing = model, passage_model, pacing
        self._finder = PassageFinder(passage_model)
        self._recent: deque[Window] = deque(maxlen=BLOCK_DELAY + 1)
        self._rows: deque[F64] = deque(maxlen=KEPT + LOOK_AHEAD)
        self._audible: deque[float] = deque(maxlen=KEPT + LOOK_AHEAD)
        self._song, self._song_audible = RunningMean(1.0), RunningMean(1.0)
        self._heard = 0  # windows that have come
        self._read = 0  # windows that have been read
        self._passage, self._passage_start = 0, 0

    @abstractmethod
    def read(self, window: Window) -> Iterator[Reading]:
        """Takes the next window; yields the readings that it completes, in order."""

    @abstractmethod
    def finish(self) -> Iterator[Reading]:
        """Ends the song; yields the remaining readings."""

    def song_sentiment(self) -> F64:
        """(arousal, valence) of the whole song; every audible window has equal weight."""
        mean, audible = self._song.mean(), self._song_audible.mean()
        if mean is None or audible is None:
            return SILENCE
        return blend_with_silence(self._model.read_level(mean), float(audible))

    def _take(self, window: Window) -> None:
        row, weight = self._model.project(window), measure_audibility(window)
        self._rows.append(row)
        self._audible.append(weight)
        self._song.add(row, weight)
        self._song_audible.add(np.array(weight), 1.0)
        self._heard += 1
        self._recent.append(window)
        if self._heard > BLOCK_DELAY:
            self._locate(self._recent[0], window)

    def _locate(self, window: Window, later: Window) -> None:
        self._finder.add(self._passage_model.locate(describe_sound(window, later)))

    def _survey(self, place: int, starts: list[int]) -> _Neighbours:
        """The kept windows around window number `place`, where passages start at `starts`."""
        first = self._heard - len(self._rows)
        numbers = np.arange(first, self._heard)
        described = np.maximum(numbers - TRAIL, 0)  # the windows that their features describe
        strength = np.concatenate([[0.0], np.cumsum(self._finder.strengths(starts))])
        of_passage = strength[np.maximum(np.searchsorted(starts, described, side="right") - 1, 0)]
        here = strength[max(0, int(np.searchsorted(starts, place, side="right")) - 1)]
        audible = np.array(self._audible)
        if limit := self._pacing.window_limit:
            audible = audible * (numbers > place - limit)
        return _Neighbours(
            np.stack(self._rows),
            audible,
            np.exp(-np.abs(of_passage - here) / FORGETTING),
            (described - place) * WINDOW_S,
        )

    def _number_passage(self, start: int) -> bool:
        """Takes the start of the passage that is read; True if it is a new one."""
        if start < self._passage_start + SHORTEST:
            return False
        self._passage, self._passage_start = self._passage + 1, start
        return True

    def _combine(self, neighbours: _Neighbours, level: F64, short: F64, long: F64, known: float) -> tuple[F64, float]:
        """(arousal, valence), and the seconds heard, from the weights of the three averages, (n,) each."""
        audible, same = neighbours.audible, neighbours.same_music
        passage = neighbours.average(audible * same * level)
        moment = neighbours.average(audible * same * short)
        piece = neighbours.average(audible * long)
        if passage is None or moment is None or piece is None:
            return SILENCE, 0.0
        model = self._model
        heard_s = passage[1] * WINDOW_S
        music = model.read_level(passage[0]) + model.read_moves(moment[0] - known * piece[0])
        music = model.neutral + float(ramp(heard_s, self._pacing.evidence_s)) * (music - model.neutral)
        share = float((audible * short).sum() / max(float(short.sum()), 1e-9))
        return blend_with_silence(music, min(1.0, share)), heard_s

    def _answer(self, sentiment: F64, heard_s: float, section: int) -> Reading:
        self._read += 1
        certainty = self._model.rate_certainty(sentiment, heard_s)
        return Reading(float(sentiment[0]), float(sentiment[1]), self._passage, section, certainty)


class LiveReader(SentimentReader):
    """Reads every window from those before it, as soon as it comes; every passage is a section of its own."""

    def read(self, window: Window) -> Iterator[Reading]:
        """Takes the next window; yields its reading."""
        self._take(window)
        starts = self._finder.starts()
        self._number_passage(starts[-1])
        place, pacing = self._heard - 1, self._pacing
        neighbours = self._survey(place, starts)
        age_s = (place - np.arange(self._heard - len(neighbours.rows), self._heard)) * WINDOW_S
        memory = np.exp(-age_s / max(pacing.memory_s, pacing.smoothing_s))
        smoothing = np.exp(-age_s / pacing.smoothing_s)
        known = float(ramp(self._heard * WINDOW_S, pacing.acquaintance_s))
        yield self._answer(*self._combine(neighbours, memory, smoothing, memory, known), self._passage)

    def finish(self) -> Iterator[Reading]:
        """Nothing remains."""
        return iter(())


class WholeReader(SentimentReader):
    """Reads every window from those before it and LOOK_AHEAD after it."""

    def __init__(self, model: SentimentModel, passage_model: PassageModel, pacing: Pacing) -> None:
        super().__init__(model, passage_model, pacing)
        self._sections, self._section = Sections(passage_model), -1

    def read(self, window: Window) -> Iterator[Reading]:
        """Takes the next window; yields the reading of the one LOOK_AHEAD before it, if there is one."""
        self._take(window)
        if self._heard > LOOK_AHEAD:
            yield self._read_next()

    def finish(self) -> Iterator[Reading]:
        """Ends the song; yields the readings of the last windows."""
        for window in list(self._recent)[-BLOCK_DELAY:]:
            self._locate(window, self._recent[-1])
        while self._read < self._heard:
            yield self._read_next()

    def _read_next(self) -> Reading:
        place, pacing = self._read, self._pacing
        starts = self._finder.starts()
        passage = max(0, int(np.searchsorted(starts, place, side="right")) - 1)
        if self._number_passage(starts[passage]) or self._section < 0:
            end = starts[passage + 1] if passage + 1 < len(starts) else self._finder.count
            self._section = self._sections.classify(self._finder.sum_between(starts[passage], end))
        neighbours = self._survey(place, starts)
        # The last windows of a song have no features that describe them: those nearest to them stand in.
        nearest_s = min(0.0, float(neighbours.distance_s[-1]))
        away_s = neighbours.distance_s - nearest_s

        def weigh(spread_s: float) -> F64:
            return np.asarray(np.exp(-0.5 * (away_s / spread_s) ** 2))

        memory_s = max(pacing.memory_s / 2, pacing.smoothing_s)
        averages = weigh(pacing.level_s), weigh(pacing.smoothing_s), weigh(memory_s)
        return self._answer(*self._combine(neighbours, *averages, 1.0), self._section)
