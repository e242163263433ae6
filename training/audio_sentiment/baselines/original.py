"""The original's features of half a second: 9,156 numbers, computed from the samples.

Source: Passalis & Doropoulos, "deepsing" (2019). 40 MFCC, 384 of the tempogram and 12 chroma CENS per frame of 512
samples at 21,504 Hz; the 21 frames of half a second side by side.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEATURE_COUNT", "SAMPLE_RATE_HZ", "frames", "windows"]

F32 = NDArray[np.float32]

SAMPLE_RATE_HZ, HOP_LENGTH = 21_504, 512
MFCC_COUNT, TEMPO_COUNT, CHROMA_COUNT = 40, 384, 12
WINDOW_S = 0.5
FRAMES_PER_WINDOW = int(WINDOW_S * SAMPLE_RATE_HZ / HOP_LENGTH)
FRAME_SIZE = MFCC_COUNT + TEMPO_COUNT + CHROMA_COUNT
FEATURE_COUNT = FRAMES_PER_WINDOW * FRAME_SIZE  # 21 * (40 + 384 + 12)


def frames(samples: F32) -> F32:
    """Reads mono samples at SAMPLE_RATE_HZ; returns (frames, FRAME_SIZE), 42 frames a second."""
    import librosa  # only who computes features needs it, and waits for it

    onsets = librosa.onset.onset_strength(y=samples, sr=SAMPLE_RATE_HZ, hop_length=HOP_LENGTH)
    kinds = (
        librosa.feature.mfcc(y=samples, sr=SAMPLE_RATE_HZ, n_mfcc=MFCC_COUNT, hop_length=HOP_LENGTH),
        librosa.feature.tempogram(
            onset_envelope=onsets, sr=SAMPLE_RATE_HZ, hop_length=HOP_LENGTH, win_length=TEMPO_COUNT
        ),
        librosa.feature.chroma_cens(y=samples, sr=SAMPLE_RATE_HZ, hop_length=HOP_LENGTH, n_chroma=CHROMA_COUNT),
    )
    return np.concatenate(kinds).T.astype(np.float32)


def windows(samples: F32) -> F32:
    """Reads mono samples at SAMPLE_RATE_HZ; returns (windows, FEATURE_COUNT), a window per full half second."""
    rows = frames(samples)
    count = len(rows) // FRAMES_PER_WINDOW
    return rows[: count * FRAMES_PER_WINDOW].reshape(count, FEATURE_COUNT)
