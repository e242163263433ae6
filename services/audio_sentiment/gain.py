"""Brings a stream to one level, causally, so that a quieter copy of a song is read like the song itself.

The gain brings the mean power of the past (old windows weigh exponentially less, over a minute) to that of typical
music; louder and softer passages keep their difference.
"""

import math

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.running_mean import RunningMean

__all__ = ["RunningGain", "apply_gain"]

F32 = NDArray[np.float32]

TYPICAL_POWER = 0.126**2  # -18 dBFS: quieter than most mastered songs, louder than most rendered MIDI
LEAST_POWER = 1e-6  # -60 dBFS: quieter audio gets no more gain than this, or noise would count as music
MEMORY_WINDOWS = 120.0  # a minute


class RunningGain:
    """Keeps the mean power of a stream.

    Args:
        window_limit: how many past windows count; 0 is no limit.
    """

    def __init__(self, window_limit: int = 0) -> None:
        self._power = RunningMean(math.exp(-1.0 / MEMORY_WINDOWS), window_limit)

    def update(self, samples: F32) -> float:
        """Takes the next window; returns its gain, a factor of the amplitude."""
        if samples.size:
            self._power.add(np.asarray(np.mean(np.square(samples, dtype=np.float64))), 1.0)
        power = self._power.mean()
        return math.sqrt(TYPICAL_POWER / max(LEAST_POWER, 0.0 if power is None else float(power)))


def apply_gain(frames: F32, gain: float) -> F32:
    """The log-mel frames (n, mels) of the same samples times `gain`."""
    power = np.float32(10.0) ** frames - np.float32(1.0)
    return np.asarray(np.log10(np.maximum(power, 0.0) * np.float32(gain * gain) + np.float32(1.0)))
