"""Frames of the spectrum fifty times a second, as the beat networks were trained to see them.

Source: Böck, Krebs & Widmer (2014), and the settings of BeatNet (Heydari, Cwitkowitz & Duan 2021): magnitudes of 64 ms,
triangular filters at 24 to the octave from 30 Hz on, log10(1 + magnitude), and what has risen since the frame before.
Differs: computed from 16 kHz, so bands above 8 kHz are silent.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.framing import FrameCutter

__all__ = ["FRAME_RATE_HZ", "SPECTRUM_SIZE", "SpectrumStream"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FRAME_RATE_HZ = 50
HOP_LENGTH = SAMPLE_RATE_HZ // FRAME_RATE_HZ
FRAME_LENGTH = 1024  # 64 ms
TRAINED_RATE_HZ, TRAINED_LENGTH = 22_050, 1411  # of the networks' training: 64 ms, too
BANDS_PER_OCTAVE, LOWEST_HZ, HIGHEST_HZ, REFERENCE_HZ = 24, 30.0, 17_000.0, 440.0
BAND_COUNT = 136
SPECTRUM_SIZE = 2 * BAND_COUNT


def _band_edges(bin_hz: F64) -> NDArray[np.intp]:
    """The bins nearest to the tones of the scale, each once."""
    low, high = (BANDS_PER_OCTAVE * np.log2(edge / REFERENCE_HZ) for edge in (LOWEST_HZ, HIGHEST_HZ))
    tones = REFERENCE_HZ * 2.0 ** (np.arange(np.floor(low), np.ceil(high)) / BANDS_PER_OCTAVE)
    tones = tones[(tones >= LOWEST_HZ) & (tones <= HIGHEST_HZ)]
    after = np.clip(np.searchsorted(bin_hz, tones), 1, len(bin_hz) - 1)
    nearer_before = tones - bin_hz[after - 1] < bin_hz[after] - tones
    return np.unique(after - nearer_before)


@lru_cache(maxsize=1)
def _filters() -> F32:
    """Triangles between neighbouring tones, (bins, BAND_COUNT), each of sum 1, on the bins of our own frames."""
    trained_hz = np.arange(TRAINED_LENGTH // 2) * TRAINED_RATE_HZ / TRAINED_LENGTH
    edges = _band_edges(trained_hz)
    filters = np.zeros((len(trained_hz), BAND_COUNT))
    for band, (start, centre, stop) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        if stop - start < 2:  # neighbouring bins: the band is one bin
            centre, stop = start, start + 1
        filters[start:centre, band] = np.linspace(0.0, 1.0, centre - start, endpoint=False)
        filters[centre:stop, band] = np.linspace(1.0, 0.0, stop - centre, endpoint=False)
    filters /= filters.sum(axis=0)
    own_hz = np.arange(FRAME_LENGTH // 2) * SAMPLE_RATE_HZ / FRAME_LENGTH
    resampled = np.stack([np.interp(own_hz, trained_hz, column) for column in filters.T], axis=1)
    scale = TRAINED_LENGTH / FRAME_LENGTH  # longer frames have larger magnitudes
    return np.asarray(resampled * scale, np.float32)


@lru_cache(maxsize=1)
def _hann_window() -> F32:
    return np.hanning(FRAME_LENGTH).astype(np.float32)


class SpectrumStream:
    """Turns samples into frames as they arrive; the signal is silent before its start."""

    def __init__(self) -> None:
        self._cutter = FrameCutter(FRAME_LENGTH, HOP_LENGTH, FRAME_LENGTH // 2)
        self._last: F32 | None = None

    def push(self, samples: F32) -> F32:
        """Takes the next samples at SAMPLE_RATE_HZ.

        Returns:
            (frames, SPECTRUM_SIZE), those completed; frame i is centred on sample i HOP_LENGTH.
        """
        frames = self._cutter.push(samples)
        if not len(frames):
            return np.empty((0, SPECTRUM_SIZE), np.float32)
        magnitudes = np.abs(np.fft.rfft(frames * _hann_window())[:, : FRAME_LENGTH // 2]).astype(np.float32)
        bands = np.log10(magnitudes @ _filters() + np.float32(1.0))
        before = np.concatenate([bands[:1] if self._last is None else self._last[None], bands[:-1]])
        self._last = bands[-1]
        return np.concatenate([bands, np.maximum(bands - before, 0.0)], axis=1)
