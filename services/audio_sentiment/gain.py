"""Brings a stream to one level, causally, so that a quieter copy of a song reads like the song itself.

The gain of a window makes the mean power of what was heard (old windows forgotten over a minute) that of typical music;
louder and softer passages keep their difference.
"""

import math

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.running_mean import RunningMean

__all__ = ["RunningGain", "apply_gain"]

F32 = NDArray[np.float32]

TYPICAL_POWER = 0.126**2  # -18 dBFS: quieter than most mastered songs, louder than most rendered MIDI
LEAST_POWER = 1e-6  # -60 dBFS: less is not made louder, or noise would become music
MEMORY_WINDOWS = 120.0  # a minute


class RunningGain:
    """Keeps the mean power of a stream.

    Args:
        window_limit: most windows remembered; 0 is no limit.
    """

    def __init__(self, window_limit: int = 0) -> None:
        self._power = RunningMean(math.exp(-1.0 / MEMORY_WINDOWS), window_limit)

    def update(self, samples: F32) -> float:
        """Takes the next window; returns the amplitude factor that levels it."""
        if samples.size:
            self._power.add(np.asarray(np.mean(np.square(samples, dtype=np.float64))), 1.0)
        power = self._power.mean()
        return math.sqrt(TYPICAL_POWER / max(LEAST_POWER, 0.0 if power is None else float(power)))


def apply_gain(frames: F32, gain: float) -> F32:
    """What log-mel frames (n, mels) would be with the samples times `gain`."""
    power = np.float32(10.0) ** frames - np.float32(1.0)
    return np.asarray(np.log10(np.maximum(power, 0.0) * np.float32(gain * gain) + np.float32(1.0)))
