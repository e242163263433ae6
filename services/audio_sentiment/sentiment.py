"""From features of the music to its sentiment: the formula of this service.

    z(k) = clip((features(k) - mean) / spread, ±3)                  the music in window k, standardised
    passage, short, long = averages of z over windows around k      the passage, the moment, the last or next minutes;
                                                                    see readers.py; silent windows weigh nothing
    level(a) = linear in the average a + sum over rated pieces i of weight(i) exp(-|view(a) - centre(i)|^2)
    music(k) = level(passage) + moves(short - known long)
    sentiment(k) = neutral + evidence (music(k) - neutral)          evidence grows with the time heard of the passage

Scale ("raw"): each of arousal and valence in [-1, 1], 0 = the neutral of the rating scale; see the model card.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.feature_extractor import Window

__all__ = ["SILENCE", "WINDOW_S", "WINDOW_US", "SentimentModel", "blend_with_silence", "measure_audibility"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

WINDOW_S = 0.5
WINDOW_US = 500_000
FEATURE_LIMIT = 3.0  # standard deviations; bounds the result for music unlike that of the training
SILENCE = np.array([-0.6, 0.0])  # (arousal, valence) of a pause: calm, neither pleasant nor unpleasant
AUDIBLE_LOUDNESS = 1.0 / 6.0  # -50 dBFS: from here up a window counts in full; at -60 dBFS, not at all


@dataclass(frozen=True)
class SentimentModel:
    """The parameters that training found.

    Attributes:
        hidden, hidden_bias, hidden_scale, hidden_shift: the network's dense layer over the pooled channels.
        mean, spread: (features,), of the features in training.
        level: (features, 2), the linear part of arousal and valence of an average.
        level_bias: (2,).
        view: (features, dimensions), projection to the space in which pieces are compared, in kernel widths.
        centres: (pieces, dimensions), the rated pieces in that space.
        centre_weights: (pieces, 2), what each adds to the level of pieces close to it.
        moves: (features, 2), arousal and valence of deviations from the average.
        neutral: (2,), arousal and valence of music in general.
        doubt: (2, 2), of arousal and of valence: standard deviation of a reading's error after long listening, and what
            its square grows by, times a second, over the seconds heard.
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
    neutral: F32
    doubt: F32

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> "SentimentModel":
        """Takes the arrays of a model file, by attribute name."""
        return cls(**{name: np.asarray(arrays[name], np.float32) for name in cls.__annotations__})

    @cached_property
    def _views(self) -> F64:
        """What of the features decides a sentiment, (features, 2 + 2 + dimensions): level, moves and view."""
        return np.concatenate([self.level, self.moves, self.view], axis=1).astype(np.float64)

    def raw_features(self, window: Window) -> F32:
        """The streaming network's last hidden layer and pools, the patch network's, harmony and mels, (features,)."""
        mean, top = window.embedding
        pools = np.concatenate([top, mean])
        hidden = np.maximum(pools @ self.hidden + self.hidden_bias, 0.0) * self.hidden_scale + self.hidden_shift
        return np.concatenate([hidden, pools, window.patch, window.harmony, window.timbre])

    def project(self, window: Window) -> F64:
        """The standardised features of a window, seen as level, moves and view see them, (4 + dimensions,).

        All that is read from features is read from averages of them, so averages of this say the same.
        """
        z = np.clip((self.raw_features(window) - self.mean) / self.spread, -FEATURE_LIMIT, FEATURE_LIMIT)
        return np.asarray(z @ self._views)

    def read_level(self, average: F64) -> F64:
        """(arousal, valence) of music, from an average of `project`."""
        near = np.exp(-((average[4:] - self.centres) ** 2).sum(axis=1))
        return np.asarray(average[:2] + self.level_bias + near @ self.centre_weights)

    def read_moves(self, difference: F64) -> F64:
        """(arousal, valence) by which a moment differs, from a difference of averages of `project`."""
        return difference[2:4]

    def rate_certainty(self, sentiment: F64, heard_s: float) -> tuple[float, float]:
        """Probabilities that people hear music on the same side of `neutral` as its sentiment says, each [0.5, 1].

        Args:
            sentiment: (arousal, valence).
            heard_s: how much music it was read from, seconds.
        """
        errors = np.sqrt(self.doubt[:, 0] ** 2 + self.doubt[:, 1] ** 2 / max(heard_s, WINDOW_S))
        distances = np.abs(sentiment - self.neutral) / errors
        arousal, valence = (0.5 + 0.5 * math.erf(distance / math.sqrt(2.0)) for distance in distances)
        return arousal, valence


def measure_audibility(window: Window) -> float:
    """How much a window counts, [0, 1]; a silent one not at all."""
    return min(1.0, window.loudness / AUDIBLE_LOUDNESS)


def blend_with_silence(music: F64, audible: float) -> F64:
    """Sentiment of the music, clipped to the scale, and of silence, weighted by how audible the music is, [0, 1]."""
    return np.asarray(SILENCE + audible * (np.clip(music, -1.0, 1.0) - SILENCE))
