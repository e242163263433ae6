"""The original's feature kinds on the same songs and folds as the shipped model, with a linear model: a baseline.

Differs from the original (see perceptron_training.py): not windows go to a perceptron, whose answers are averaged, but
mean and deviation of each feature over a clip to the ridge that our own model is fitted with. Better on whole clips.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from deepsing.audio import decode_blocks
from training.agreement import DIMENSIONS, compute_measures
from training.audio_sentiment.baselines.original import SAMPLE_RATE_HZ, frames
from training.audio_sentiment.corpus import read_corpus
from training.audio_sentiment.labels import FOLD_COUNT, RatedSong, assign_fold
from training.audio_sentiment.rendering import render_if_midi
from training.cache import load_or_compute

__all__ = ["clip_statistics", "cross_validate", "main"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
CLIP_S = 30.0  # analysed from the start; the collections' clips are this long
RIDGE = 0.2  # in variances of a feature
FEATURE_LIMIT = 3.0
logger = logging.getLogger(__name__)


def clip_statistics(samples: F32) -> F64:
    """Mean and deviation over a clip of the original's 436 features, (872,)."""
    rows = frames(samples)
    return np.concatenate([rows.mean(axis=0), rows.std(axis=0)]).astype(np.float64)


def cross_validate(features: F64, ratings: F64, folds: Sequence[int]) -> F64:
    """Ridge readings of every song from the songs of other folds, (songs, 2)."""
    fold, readings = np.asarray(folds), np.zeros_like(ratings)
    for unseen in range(FOLD_COUNT):
        train = fold != unseen
        if train.all():
            continue
        centre, spread = features[train].mean(axis=0), features[train].std(axis=0) + 1e-9
        z = np.clip((features - centre) / spread, -FEATURE_LIMIT, FEATURE_LIMIT)
        middle = ratings[train].mean(axis=0)
        square = z[train].T @ z[train] + RIDGE * train.sum() * np.eye(z.shape[1])
        readings[~train] = z[~train] @ np.linalg.solve(square, z[train].T @ (ratings[train] - middle)) + middle
    return readings


def _load_statistics(song: RatedSong, collection: str, cache: Path) -> F64:
    path = cache / "baseline" / f"{collection}_{song.path.name}.npy"

    def read_song() -> F64:
        source = render_if_midi(song.path, cache / "renderings")
        with decode_blocks(source, mono=True, sample_rate_hz=SAMPLE_RATE_HZ, duration_s=CLIP_S) as decoding:
            return clip_statistics(np.concatenate(list(decoding)))

    return np.asarray(load_or_compute(path, read_song), np.float64)


def main(arguments: Sequence[str] | None = None) -> int:
    """Cross-validates the original's features on each collection; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of collections")
    parser.add_argument("--cache", type=Path, required=True, help="folder for features and renderings")
    parser.add_argument("--limit", type=int, default=0, help="songs of each collection; 0 is all")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    songs = read_corpus(options.data)
    for collection in sorted({name for name, _ in songs}):
        chosen = [song for name, song in songs if name == collection][: options.limit or None]
        bar = tqdm(chosen, desc=collection, mininterval=5)
        features = np.stack([_load_statistics(song, collection, options.cache) for song in bar])
        rated = np.array([(song.arousal, song.valence) for song in chosen])
        predicted = cross_validate(features, rated, [assign_fold(song.group) for song in chosen])
        table = {name: compute_measures(rated[:, i], predicted[:, i]) for i, name in enumerate(DIMENSIONS)}
        logger.info("%s %d %s", collection, len(chosen), json.dumps(table))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
