"""Samples in, points out: the whole service without gRPC."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.embedding import Networks
from services.audio_sentiment.feature_extractor import FeatureExtractor, Window
from services.audio_sentiment.passages import PassageModel
from services.audio_sentiment.readers import LiveReader, Pacing, Reading, WholeReader
from services.audio_sentiment.sentiment import WINDOW_US, SentimentModel

__all__ = ["Analyser", "Point"]

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Point:
    """What is heard in one window; see AffectPoint in the contract."""

    time_us: int
    reading: Reading
    loudness: float
    onset_strength: float


class Analyser:
    """Analyses one song.

    Args:
        networks: the music networks' sessions.
        model: of sentiment.
        passage_model: of passages.
        pacing: time constants.
        whole: True if points may wait for later samples, LOOK_AHEAD_S at most.
    """

    def __init__(
        self, networks: Networks, model: SentimentModel, passage_model: PassageModel, pacing: Pacing, *, whole: bool
    ) -> None:
        self._extractor = FeatureExtractor(networks, pacing.window_limit)
        self._reader = (WholeReader if whole else LiveReader)(model, passage_model, pacing)
        self._sounds: list[tuple[float, float]] = []  # loudness and onset strength of windows that wait to be read
        self._count = 0

    @property
    def point_count(self) -> int:
        """Number of points so far."""
        return self._count

    def push(self, samples: F32) -> Iterator[Point]:
        """Takes the next samples at 16 kHz, mono; yields the points they complete."""
        for window in self._extractor.push(samples):
            yield from self._add(window)

    def finish(self, window_count: int) -> Iterator[Point]:
        """Ends the song; yields the remaining points up to `window_count`."""
        for window in self._extractor.finish(window_count):
            yield from self._add(window)
        yield from self._pair(self._reader.finish())

    def sentiment(self) -> tuple[float, float]:
        """(arousal, valence) of the song so far."""
        arousal, valence = self._reader.song_sentiment()
        return float(arousal), float(valence)

    def _add(self, window: Window) -> Iterator[Point]:
        self._sounds.append((window.loudness, window.onset_strength))
        yield from self._pair(self._reader.read(window))

    def _pair(self, readings: Iterable[Reading]) -> Iterator[Point]:
        for reading in readings:
            loudness, onset_strength = self._sounds.pop(0)
            yield Point(self._count * WINDOW_US, reading, loudness, onset_strength)
            self._count += 1
