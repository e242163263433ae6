"""Synthetic sounds."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["RATE_HZ", "chords", "silence"]

F32 = NDArray[np.float32]
RATE_HZ = 16_000


def silence(seconds: float) -> F32:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def chords(seconds: float, *, level: float = 0.3, seed: int = 0) -> F32:
    """A new chord of four decaying tones every half second."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE_HZ)
    since = np.arange(count) % (RATE_HZ // 2) / RATE_HZ
    number = np.arange(count) // (RATE_HZ // 2)
    pitches = 220 * 2 ** (rng.integers(0, 24, (int(number[-1]) + 1, 4)) / 12)
    tones = sum(np.sin(2 * np.pi * pitches[number, i] * since) for i in range(4))
    return (level / 4 * tones * np.exp(-3 * since)).astype(np.float32)
