"""Samples in, points out: the whole service without gRPC."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.embedding import Networks
from services.audio_sentiment.feature_extractor import FeatureExtractor, Window
from services.audio_sentiment.passages import PassageModel
from services.audio_sentiment.readers import LiveReader, Pacing, Reading, WholeReader
from services.audio_sentiment.rhythm.activation import BeatNetwork
from services.audio_sentiment.rhythm.tempo import TempoCount
from services.audio_sentiment.rhythm.tracker import RhythmTracker, RhythmWindow, Tempo
from services.audio_sentiment.sentiment import WINDOW_US, SentimentModel

__all__ = ["Analyser", "Point"]

F32 = NDArray[np.float32]

# Rhythm is heard beside the sentiment: neither needs the other, and each takes half of the time. One thread for all
# songs: those that call here are served one after another.
RHYTHM_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rhythm")


@dataclass(frozen=True)
class Point:
    """What is heard in one window; see AffectPoint in the contract. `rhythm` is None where it is not listened for."""

    time_us: int
    reading: Reading
    loudness: float
    onset_strength: float
    rhythm: RhythmWindow | None = None


class Analyser:
    """Analyses one song.

    Args:
        networks: the music networks' sessions.
        model: of sentiment.
        passage_model: of passages.
        pacing: time constants.
        whole: True if points may wait for later samples, LOOK_AHEAD_S at most.
        beat_network: the beat networks' session; None: rhythm is not listened for.
    """

    def __init__(
        self,
        networks: Networks,
        model: SentimentModel,
        passage_model: PassageModel,
        pacing: Pacing,
        *,
        whole: bool,
        beat_network: BeatNetwork | None = None,
    ) -> None:
        self._extractor = FeatureExtractor(networks, pacing.window_limit)
        self._reader = (WholeReader if whole else LiveReader)(model, passage_model, pacing)
        self._tracker = None if beat_network is None else RhythmTracker(beat_network, live=not whole)
        # Of windows whose points are not complete yet:
        self._sounds: deque[tuple[float, float]] = deque()  # loudness and onset strength
        self._readings: deque[Reading] = deque()
        self._rhythms: deque[RhythmWindow] = deque()
        self._tempi = TempoCount()
        self._count = 0

    @property
    def point_count(self) -> int:
        """Number of points so far."""
        return self._count

    def push(self, samples: F32) -> Iterator[Point]:
        """Takes the next samples at 16 kHz, mono; yields the points they complete."""
        rhythm = self._hear_rhythm(lambda tracker: tracker.push(samples))
        for window in self._extractor.push(samples):
            self._take(window)
        self._rhythms.extend(rhythm.result() if rhythm else ())
        yield from self._complete_points()

    def finish(self, window_count: int) -> Iterator[Point]:
        """Ends the song; yields the remaining points up to `window_count`."""
        rhythm = self._hear_rhythm(lambda tracker: tracker.finish(window_count))
        for window in self._extractor.finish(window_count):
            self._take(window)
        self._readings.extend(self._reader.finish())
        self._rhythms.extend(rhythm.result() if rhythm else ())
        yield from self._complete_points()

    def sentiment(self) -> tuple[float, float]:
        """(arousal, valence) of the song so far."""
        arousal, valence = self._reader.song_sentiment()
        return float(arousal), float(valence)

    def tempo(self) -> Tempo | None:
        """The tempo that most of the song so far keeps; None if no beat was heard."""
        return self._tempi.choose()

    def _hear_rhythm(
        self, hear: Callable[[RhythmTracker], Iterator[RhythmWindow]]
    ) -> Future[list[RhythmWindow]] | None:
        """Begins to collect windows of the tracker, in its thread; None where rhythm is not listened for."""
        tracker = self._tracker
        return None if tracker is None else RHYTHM_THREAD.submit(lambda: list(hear(tracker)))

    def _take(self, window: Window) -> None:
        self._sounds.append((window.loudness, window.onset_strength))
        self._readings.extend(self._reader.read(window))

    def _complete_points(self) -> Iterator[Point]:
        while self._readings and (self._rhythms or self._tracker is None):
            rhythm = self._rhythms.popleft() if self._rhythms else None
            if rhythm is not None and rhythm.tempo is not None:
                self._tempi.add(rhythm.tempo)
            yield Point(self._count * WINDOW_US, self._readings.popleft(), *self._sounds.popleft(), rhythm)
            self._count += 1
