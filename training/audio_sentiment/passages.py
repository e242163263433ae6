"""Fits the coordinates in which passages differ: linear discriminants of songs.

Every song of the collections is taken as one passage. That is not true of all of them, so their middle thirty seconds
stand for them. No rating is used.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.feature_extractor import Window
from services.audio_sentiment.passages import BLOCK_DELAY, REACH, PassageModel, describe_sound
from training.audio_sentiment.corpus import WindowedSong

__all__ = ["fit_passage_model"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

DIMENSIONS = 48
SETTLED = 4  # windows after which the networks have heard enough
LONGEST = 60  # windows of a song that stand for it
EVERY = 3  # every third window is enough for mean and spread
RIDGE = 0.1  # added to the covariance inside songs, in variances of a feature
SMALLEST_SPREAD = 1e-3
SAMPLING = 0.25  # variance of a song's mean by chance: unit variance over its windows, of which one in a few counts
SMALLEST_VARIANCE = 0.05


def fit_passage_model(songs: Sequence[WindowedSong]) -> PassageModel:
    """Fits the model from songs; at least two of them must have more than SETTLED windows."""
    sounds = [_describe_song(song.windows) for song in songs]
    pooled = np.concatenate([sound[::EVERY] for sound in sounds]).astype(np.float64)
    mean, spread = pooled.mean(axis=0), pooled.std(axis=0) + SMALLEST_SPREAD
    passages = [np.clip((sound - mean) / spread, -REACH, REACH)[SETTLED : SETTLED + LONGEST] for sound in sounds]
    passages = [passage for passage in passages if len(passage) > 1]
    centres = np.stack([passage.mean(axis=0) for passage in passages])
    inside = sum(((p - p.mean(axis=0)).T @ (p - p.mean(axis=0)) for p in passages), np.zeros((mean.size, mean.size)))
    inside = inside / sum(len(passage) - 1 for passage in passages) + RIDGE * np.eye(mean.size)
    variances, view = _discriminate(np.cov(centres.T), inside)
    return PassageModel(
        sound_mean=mean.astype(np.float32),
        sound_spread=spread.astype(np.float32),
        sound_view=view.astype(np.float32),
        sound_origin=(centres.mean(axis=0) @ view).astype(np.float32),
        centre_variance=np.maximum(variances - SAMPLING, SMALLEST_VARIANCE).astype(np.float32),
    )


def _describe_song(windows: Sequence[Window]) -> F32:
    """(windows, features); the last windows of a song take the last block."""
    last = len(windows) - 1
    return np.stack([describe_sound(window, windows[min(k + BLOCK_DELAY, last)]) for k, window in enumerate(windows)])


def _discriminate(between: F64, inside: F64) -> tuple[F64, F64]:
    """Variances and directions in which songs differ most, in units of the spread inside them."""
    whitening = np.linalg.inv(np.linalg.cholesky(inside)).T
    variances, axes = np.linalg.eigh(whitening.T @ between @ whitening)
    order = np.argsort(variances)[::-1][:DIMENSIONS]
    return variances[order], whitening @ axes[:, order]
