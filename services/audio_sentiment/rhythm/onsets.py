"""Strength of onsets in three bands, a hundred times a second, on a scale that does not depend on the level.

Source: spectral flux, Bello et al. (2005); the comparison with the largest neighbour of an earlier frame, which keeps
vibrato from counting, Böck & Widmer (2013). Differs: magnitudes count in relation to the loudest of the last seconds.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.feature_extractor import LATE_SAMPLES
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.framing import FrameCutter

__all__ = ["ONSET_BANDS", "ONSET_RATE_HZ", "OnsetStream"]

F32 = NDArray[np.float32]

ONSET_RATE_HZ = 100
ONSET_BANDS = 3  # below 200 Hz, up to 2 kHz, above
HOP_LENGTH = SAMPLE_RATE_HZ // ONSET_RATE_HZ
FRAME_LENGTH = 512  # 32 ms
LAG = 2  # frames back to which a frame is compared
AHEAD = HOP_LENGTH - LATE_SAMPLES  # so much of a frame lies after its time: a window is complete at its end
EDGES_HZ = (200.0, 2000.0)
BAND_STARTS_HZ = (31.25, 7900.0)
BANDS_PER_OCTAVE = 12
DEPTH = 10.0 ** (-40 / 20)  # 40 dB below the loudest of the last seconds counts as silence
LEAST = 10.0 ** (-85 / 20) * FRAME_LENGTH / 4  # and so does this; a full-scale sine has FRAME_LENGTH / 4
DECAY = float(np.exp(-1.0 / (8.0 * ONSET_RATE_HZ)))  # of the loudest, in 8 s
FULL_SCALE = (0.5, 0.35, 0.35)  # mean rise of a band's tones, decades, that reads 255


@lru_cache(maxsize=1)
def _tone_starts() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First bins of the tones, and the first tone of each of the three bands."""
    count = int(np.log2(BAND_STARTS_HZ[1] / BAND_STARTS_HZ[0]) * BANDS_PER_OCTAVE)
    tones = BAND_STARTS_HZ[0] * 2.0 ** (np.arange(count + 1) / BANDS_PER_OCTAVE)
    starts = np.unique(np.rint(tones * FRAME_LENGTH / SAMPLE_RATE_HZ).astype(int))
    edges = np.searchsorted(starts * SAMPLE_RATE_HZ / FRAME_LENGTH, EDGES_HZ)
    return starts, np.concatenate([[0], edges])


@lru_cache(maxsize=1)
def _hann_window() -> F32:
    return np.hanning(FRAME_LENGTH).astype(np.float32)


class OnsetStream:
    """Turns samples into strengths as they arrive; the signal is silent before its start."""

    def __init__(self) -> None:
        self._cutter = FrameCutter(FRAME_LENGTH, HOP_LENGTH, FRAME_LENGTH - AHEAD)
        starts, _ = _tone_starts()
        self._before: F32 = np.zeros((LAG, len(starts)), np.float32)
        self._loudest = 0.0

    def push(self, samples: F32) -> NDArray[np.uint8]:
        """Takes the next samples at SAMPLE_RATE_HZ.

        Returns:
            (frames, ONSET_BANDS), those completed, 0 to 255; frame i is at sample i HOP_LENGTH.
        """
        frames = self._cutter.push(samples)
        if not len(frames):
            return np.empty((0, ONSET_BANDS), np.uint8)
        magnitudes = np.abs(np.fft.rfft(frames * _hann_window())).astype(np.float32)
        starts, bands = _tone_starts()
        tones = np.maximum.reduceat(magnitudes, starts, axis=1)
        levels = np.concatenate([self._before, tones])
        self._before = levels[-LAG:]
        floor = np.maximum(self._follow_loudest(tones.max(axis=1)) * DEPTH, LEAST).astype(np.float32)[:, None]
        earlier = levels[:-LAG]
        widest = earlier.copy()
        widest[:, 1:] = np.maximum(widest[:, 1:], earlier[:, :-1])
        widest[:, :-1] = np.maximum(widest[:, :-1], earlier[:, 1:])
        rises = np.maximum(np.log10((tones + floor) / (widest + floor)), 0.0)
        sizes = np.diff([*bands, len(starts)])
        strength = np.add.reduceat(rises, bands, axis=1) / sizes / np.array(FULL_SCALE, np.float32)
        return np.asarray(np.rint(np.clip(strength, 0.0, 1.0) * 255.0), np.uint8)

    def _follow_loudest(self, peaks: F32) -> F32:
        """The loudest tone up to each frame; it fades."""
        followed = np.empty(len(peaks), np.float32)
        for number, peak in enumerate(peaks.tolist()):
            self._loudest = max(peak, self._loudest * DECAY)
            followed[number] = self._loudest
        return followed
