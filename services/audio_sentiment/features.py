"""Features of the samples themselves: log-mel frames, loudness and onset strength, in plain numpy.

The frames are musicnn's: magnitude-squared spectrum, 96 Slaney mels, log10(10000 mel + 1), frame i centred on sample
256 i, as librosa.feature.melspectrogram gives them (golden-tested). Differs: musicnn rounds mels to float16 before the
logarithm; we do not.
"""

__all__ = ["MelStream", "loudness", "onset_strength"]


from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.framing import FrameCutter

F32 = NDArray[np.float32]

SAMPLE_RATE_HZ = 16_000
FFT_LENGTH = 512
HOP_LENGTH = 256
MEL_COUNT = 96
LOUDNESS_FLOOR_DB = -60.0
ONSET_FULL_SCALE = 1.25  # mean rise of all mels within a hop, log10 units (12.5 dB): 1 window in 20 of real music

_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_LOG_START_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0  # Slaney: 27 mels from 1 kHz to 6.4 kHz


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's mel scale: linear up to 1 kHz, logarithmic above."""
    log_start = _LOG_START_HZ / _LINEAR_HZ_PER_MEL
    return np.where(mel < log_start, mel * _LINEAR_HZ_PER_MEL, _LOG_START_HZ * np.exp(_LOG_STEP * (mel - log_start)))


@lru_cache(maxsize=1)
def mel_filters() -> F32:
    """Triangular filters of equal area, (FFT_LENGTH / 2 + 1, MEL_COUNT)."""
    nyquist = SAMPLE_RATE_HZ / 2
    top = (_LOG_START_HZ / _LINEAR_HZ_PER_MEL) + np.log(nyquist / _LOG_START_HZ) / _LOG_STEP
    edges = _mel_to_hz(np.linspace(0.0, top, MEL_COUNT + 2))
    bins = np.linspace(0.0, nyquist, FFT_LENGTH // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.ascontiguousarray(triangles * 2.0 / (edges[2:] - edges[:-2]), dtype=np.float32)


@lru_cache(maxsize=1)
def _hann_window() -> F32:
    """Periodic Hann window, (FFT_LENGTH,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT_LENGTH) / FFT_LENGTH)).astype(np.float32)


class MelStream:
    """Turns samples into log-mel frames as they arrive; the signal is silent before its start."""

    def __init__(self) -> None:
        self._cutter = FrameCutter(FFT_LENGTH, HOP_LENGTH, FFT_LENGTH // 2)

    def push(self, samples: F32) -> F32:
        """Takes the next samples.

        Args:
            samples: (n,) at SAMPLE_RATE_HZ, finite, full scale ±1.

        Returns:
            (frames, MEL_COUNT): the frames that these samples complete.
        """
        frames = self._cutter.push(samples)
        if not len(frames):
            return np.empty((0, MEL_COUNT), np.float32)
        spectrum = np.fft.rfft(frames * _hann_window())
        power = spectrum.real**2 + spectrum.imag**2
        mel: F32 = power.astype(np.float32) @ mel_filters()
        return np.asarray(np.log10(np.float32(10_000.0) * mel + np.float32(1.0)))


def loudness(samples: F32) -> float:
    """Root mean square on a scale linear in decibels: 0 is -60 dBFS or less, 1 is full scale (and more).

    Args:
        samples: (n,), full scale ±1; n = 0 is silence.
    """
    power = float(np.mean(np.square(samples, dtype=np.float64))) if samples.size else 0.0
    decibels = 10.0 * np.log10(max(power, 1e-12))
    return float(np.clip(1.0 - decibels / LOUDNESS_FLOOR_DB, 0.0, 1.0))


def onset_strength(frames: F32, before: F32) -> float:
    """Strongest spectral flux of a window on a scale from 0 (no onset) to 1.

    Flux is the mean over mels of the rise of the log-mel from one frame to the next (falls count as 0);
    a mean rise of ONSET_FULL_SCALE or more is 1.

    Args:
        frames: (n, MEL_COUNT) log-mel frames of the window.
        before: (MEL_COUNT,), the frame before them.
    """
    if not len(frames):
        return 0.0
    rises = np.diff(np.vstack([before[None], frames]), axis=0)
    return float(min(1.0, np.maximum(rises, 0.0).mean(axis=1).max() / ONSET_FULL_SCALE))
