"""Harmony from the samples: major or minor, how clear the key is, how rough the sound.

Source: correlation with the key profiles of Krumhansl & Kessler (1982). Differs: the pitch classes come from peaks of a
compressed spectrum, and are averaged over two seconds (the chord) and over twenty (the key).
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.framing import FrameCutter
from services.audio_sentiment.running_mean import RunningMean

__all__ = ["HARMONY_SIZE", "PITCHES_SIZE", "Harmony"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FFT_LENGTH, HOP_LENGTH = 4096, 1024  # 256 ms: separates semitones from about 100 Hz on
BIN_COUNT = 600  # up to 2.3 kHz
LOWEST_HZ, OCTAVES = 65.406, 5  # from the low C of a cello
SEMITONE_WIDTH = 0.35  # standard deviation of a semitone's band
QUIET = 0.1  # mean band (of the compressed spectrum; typical music: 1) at which a frame counts half
MEMORIES_S = (2.0, 20.0)  # time constants of the averages: chord, key
WINDOW_S = 0.5
INTERVALS = (1, 2, 3, 4, 5, 6, 7, 12)  # semitones, of simultaneous tones
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
KEY_SIZE = 7 + 12
HARMONY_SIZE = len(MEMORIES_S) * KEY_SIZE + len(INTERVALS)
PITCHES_SIZE = 12 + OCTAVES
_TINY = 1e-6


@lru_cache(maxsize=1)
def _bands() -> F32:
    """Weights of the spectrum's bins in each semitone, (BIN_COUNT, 12 * OCTAVES)."""
    hertz = np.arange(BIN_COUNT) * SAMPLE_RATE_HZ / FFT_LENGTH
    pitch = 12 * np.log2(np.maximum(hertz, 1.0) / LOWEST_HZ)[:, None] - np.arange(12 * OCTAVES)
    weights = np.exp(-0.5 * (pitch / SEMITONE_WIDTH) ** 2)
    return np.asarray(weights / weights.sum(axis=0), np.float32)


@lru_cache(maxsize=1)
def _hann_window() -> F32:
    """Periodic Hann window, (FFT_LENGTH,)."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT_LENGTH) / FFT_LENGTH)).astype(np.float32)


@lru_cache(maxsize=1)
def _profiles() -> F64:
    """Unit profiles of the twelve major, then the twelve minor keys, (24, 12)."""
    rows = [np.roll(profile, key) for profile in (MAJOR, MINOR) for key in range(12)]
    return np.stack([_unit(row) for row in rows])


def _unit(values: F64) -> F64:
    deviation = values - values.mean()
    return np.asarray(deviation / (np.linalg.norm(deviation) + _TINY))


def key_features(classes: F64) -> F64:
    """Computes features of twelve pitch classes (C first, any scale >= 0).

    Returns:
        (KEY_SIZE,): likeness to the best major key minus likeness to the best minor key; likeness to the best key;
        major minus minor third, sixth and seventh; entropy; largest share; then the twelve shares, from the tonic of
        the best key on.
    """
    likeness = _profiles() @ _unit(classes)
    shares = np.roll(classes, -(int(likeness.argmax()) % 12)) / (classes.sum() + _TINY)
    major, minor = likeness[:12].max(), likeness[12:].max()
    thirds, sixths, sevenths = shares[4] - shares[3], shares[9] - shares[8], shares[11] - shares[10]
    entropy = -(shares * np.log(shares + 1e-9)).sum()
    return np.array([major - minor, max(major, minor), thirds, sixths, sevenths, entropy, shares.max(), *shares])


class Harmony:
    """Takes samples at a typical level, window by window, and computes features of their harmony.

    Args:
        window_limit: how many past windows count; 0 is no limit.
    """

    def __init__(self, window_limit: int = 0) -> None:
        self._cutter = FrameCutter(FFT_LENGTH, HOP_LENGTH, FFT_LENGTH // 2)
        self._classes = [RunningMean(math.exp(-WINDOW_S / seconds), window_limit) for seconds in MEMORIES_S]
        self._last = np.zeros(12 * OCTAVES), np.zeros(len(INTERVALS))

    @property
    def pitch_shares(self) -> F32:
        """Shares of the twelve pitch classes, C first, and of the OCTAVES in the latest samples, (PITCHES_SIZE,)."""
        peaks = self._last[0].reshape(OCTAVES, 12)
        total = peaks.sum() + _TINY
        return np.concatenate([peaks.sum(axis=0) / total, peaks.sum(axis=1) / total]).astype(np.float32)

    def push(self, samples: F32) -> F32:
        """Takes the next samples, any number, at a typical level; returns (HARMONY_SIZE,)."""
        frames = self._cutter.push(samples)
        if len(frames):
            peaks = _peaks(np.abs(np.fft.rfft(frames * _hann_window(), axis=1))[:, :BIN_COUNT])
            shares = peaks / (peaks.sum(axis=1, keepdims=True) + _TINY)
            together = [(shares[:, :-step] * shares[:, step:]).sum(axis=1).mean() for step in INTERVALS]
            self._last = peaks.mean(axis=0), np.array(together)
        peaks_now, together_now = self._last
        classes = peaks_now.reshape(OCTAVES, 12).sum(axis=0)
        for memory in self._classes:
            memory.add(classes, 1.0)
        keys = [key_features(np.asarray(memory.mean())) for memory in self._classes]
        return np.concatenate([*keys, together_now]).astype(np.float32)


def _peaks(spectrum: F64) -> F64:
    """Magnitudes (frames, BIN_COUNT) → how far each semitone exceeds its neighbours, (frames, 12 * OCTAVES)."""
    bands = np.sqrt(spectrum).astype(np.float32) @ _bands()
    bands = bands / (bands.mean(axis=1, keepdims=True) + QUIET)
    padded = np.pad(bands, ((0, 0), (1, 1)), mode="edge")
    return np.asarray(np.maximum(bands - (padded[:, :-2] + padded[:, 2:]) / 2, 0.0), np.float64)
