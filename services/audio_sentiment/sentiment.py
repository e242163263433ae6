"""From features of the music to its sentiment: the formula of this service.

    z(k) = clip((features(k) - mean) / spread, ±3)                     the music in window k, standardised
    long(k), short(k) = averages of z over the past; old windows weigh exponentially less, silent ones nothing
    level(a) = linear in the average a + sum over rated pieces i of weight(i) exp(-|view(a) - centre(i)|^2)
    sentiment(k) = evidence(k) (level(long(k))                         the piece; evidence grows with the time heard
                    + moves(short(k) - known(k) long(k)))              changes, from music in general, then the piece

Scale ("raw"): each of arousal and valence in [-1, 1], 0 = the neutral of the rating scale; see the model card.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.embedding import Networks
from services.audio_sentiment.feature_extractor import FeatureExtractor, Window
from services.audio_sentiment.running_mean import RunningMean, ramp

__all__ = ["Analyser", "SentimentModel", "Pacing", "Point", "SentimentReader"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

WINDOW_S = 0.5
WINDOW_US = 500_000
FEATURE_LIMIT = 3.0  # standard deviations; bounds the result for music unlike that of the training
SILENCE = np.array([-0.6, 0.0])  # (arousal, valence) of a pause: calm, neither pleasant nor unpleasant
# Lag of points, in time constants of the smoothing. Measured as the shift at which arousal agrees best with arousal
# under a smoothing of 0.5 s: with 4 s, 2.0 s on the bundled song, 1.8 s (mean) and 1.0 s (median) on 30 clips of 30 to
# 60 s; with 2 s, about half as much. Valence: 1.0 s and 1.0 s.
LAG_SHARE = 0.5
AUDIBLE_LOUDNESS = 1.0 / 6.0  # -50 dBFS: from here up a window counts in full; at -60 dBFS, not at all


@dataclass(frozen=True)
class SentimentModel:
    """The parameters that training found.

    Attributes:
        hidden, hidden_bias, hidden_scale, hidden_shift: the network's dense layer over the pooled channels.
        mean, spread: (features,), of the features in training.
        level: (features, 2), the linear part of arousal and valence of a piece's average.
        level_bias: (2,).
        view: (features, dimensions), projection to the space in which pieces are compared, in kernel widths.
        centres: (pieces, dimensions), the rated pieces in that space.
        centre_weights: (pieces, 2), what each adds to the level of pieces close to it.
        moves: (features, 2), arousal and valence of deviations from the average.
    """

    hidden: F32
    hidden_bias: F32
    hidden_scale: F32
    hidden_shift: F32
    mean: F32
    spread: F32
    level: F32
    level_bias: F32
    view: F32
    centres: F32
    centre_weights: F32
    moves: F32

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "SentimentModel":
        """Takes the arrays of a model file, by attribute name."""
        return cls(**{name: np.asarray(arrays[name], np.float32) for name in cls.__annotations__})

    def raw_features(self, window: Window) -> F32:
        """The streaming network's last hidden layer and pools, the patch network's, harmony and mels, (features,)."""
        mean, top = window.embedding
        pools = np.concatenate([top, mean])
        hidden = np.maximum(pools @ self.hidden + self.hidden_bias, 0.0) * self.hidden_scale + self.hidden_shift
        return np.concatenate([hidden, pools, window.patch, window.harmony, window.timbre])

    def features(self, window: Window) -> F64:
        """The features of a window, (features,), standardised and limited."""
        z = (self.raw_features(window) - self.mean) / self.spread
        return np.asarray(np.clip(z, -FEATURE_LIMIT, FEATURE_LIMIT), np.float64)


def audibility(window: Window) -> float:
    """How much a window counts, [0, 1]; a silent one not at all."""
    return min(1.0, window.loudness / AUDIBLE_LOUDNESS)


@dataclass(frozen=True)
class Pacing:
    """Time constants: how fast the past loses weight.

    Attributes:
        smoothing_s: of the average that a point follows, seconds > 0.
        memory_s: of the average that is the level of the piece, seconds; at least smoothing_s is used.
        context_s: how much of the past may be used at all, seconds; 0 is no limit.
        evidence_s: with which points grow from neutral to full strength at the beginning of a song.
        acquaintance_s: with which the piece takes the place of music in general as what changes are measured from.
    """

    smoothing_s: float = 4.0
    memory_s: float = 120.0
    context_s: float = 0.0
    evidence_s: float = 5.0
    acquaintance_s: float = 10.0

    @property
    def window_limit(self) -> int:
        """How many past windows may be used; 0 is no limit."""
        return math.ceil(self.context_s / WINDOW_S)

    @property
    def lag_s(self) -> float:
        """By about how much points trail the music, seconds: they follow an average of the past."""
        return LAG_SHARE * self.smoothing_s


@dataclass(frozen=True)
class Point:
    """The feeling of one window; see AffectPoint in the contract."""

    time_us: int
    arousal: float
    valence: float
    loudness: float
    onset_strength: float


class SentimentReader:
    """Keeps the averages of a stream and computes the sentiment from them."""

    def __init__(self, model: SentimentModel, pacing: Pacing) -> None:
        def new_mean(time_constant_s: float) -> RunningMean:
            return RunningMean(math.exp(-WINDOW_S / time_constant_s), pacing.window_limit)

        self._model = model
        self._short, self._audible = new_mean(pacing.smoothing_s), new_mean(pacing.smoothing_s)
        self._long = new_mean(max(pacing.memory_s, pacing.smoothing_s))
        self._song, self._song_audible = RunningMean(1.0), RunningMean(1.0)
        self._pacing = pacing
        self._elapsed_s = 0.0

    def read(self, window: Window) -> F64:
        """Takes the next window; returns (arousal, valence) of the song so far."""
        weight = audibility(window)
        features = self._model.features(window)
        for mean in (self._short, self._long, self._song):
            mean.add(features, weight)
        for share in (self._audible, self._song_audible):
            share.add(np.array(weight), 1.0)
        self._elapsed_s += WINDOW_S
        long, short = self._long.mean(), self._short.mean()
        if long is None or short is None:
            return SILENCE
        model, pacing = self._model, self._pacing
        known = ramp(self._elapsed_s, pacing.acquaintance_s)
        music = self._level(long) + (short - known * long) @ model.moves
        return _blend_with_silence(ramp(self._elapsed_s, pacing.evidence_s) * music, self._audible.mean())

    def song_sentiment(self) -> F64:
        """(arousal, valence) of the whole song; every audible window has equal weight."""
        mean = self._song.mean()
        return SILENCE if mean is None else _blend_with_silence(self._level(mean), self._song_audible.mean())

    def _level(self, average: F64) -> F64:
        model = self._model
        near = np.exp(-((average @ model.view - model.centres) ** 2).sum(axis=1))
        return np.asarray(average @ model.level + model.level_bias + near @ model.centre_weights)


def _blend_with_silence(music: F64, audible: F64 | None) -> F64:
    """Sentiment of the music, clipped to the scale, and of silence, weighted by how audible the music is."""
    share = 0.0 if audible is None else float(audible)
    return np.asarray(SILENCE + share * (np.clip(music, -1.0, 1.0) - SILENCE))


class Analyser:
    """Samples in, points out: the whole service without gRPC.

    Args:
        networks: the music networks' sessions.
        model: of sentiment.
        pacing: time constants.
    """

    def __init__(self, networks: Networks, model: SentimentModel, pacing: Pacing) -> None:
        self._extractor = FeatureExtractor(networks, pacing.window_limit)
        self._reader = SentimentReader(model, pacing)

    @property
    def point_count(self) -> int:
        """Number of points so far."""
        return self._extractor.window_count

    def push(self, samples: F32) -> Iterator[Point]:
        """Takes the next samples at 16 kHz, mono; yields the points they complete."""
        return map(self._read_point, self._extractor.push(samples))

    def finish(self, window_count: int) -> Iterator[Point]:
        """Ends the song; yields the remaining points up to `window_count`."""
        return map(self._read_point, self._extractor.finish(window_count))

    def sentiment(self) -> tuple[float, float]:
        """(arousal, valence) of the song so far."""
        arousal, valence = self._reader.song_sentiment()
        return float(arousal), float(valence)

    def _read_point(self, window: Window) -> Point:
        arousal, valence = self._reader.read(window)
        return Point(
            (self.point_count - 1) * WINDOW_US, float(arousal), float(valence), window.loudness, window.onset_strength
        )
