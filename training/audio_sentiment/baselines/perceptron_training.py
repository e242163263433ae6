"""Trains and cross-validates the original's model, deepsing-mlp, on the songs and folds of the shipped one.

Source: Passalis & Doropoulos (2019): dropout of half the input, squared error, Adam at 1e-4. Differs: the original has
a rating for each half second of DEAM; here a song's windows share its rating where there is no curve. Windows are drawn
anew for every epoch, because those of a song are much alike.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from deepsing.audio import decode_blocks
from training.audio_sentiment.baselines.original import FEATURE_COUNT, SAMPLE_RATE_HZ, WINDOW_S, windows
from training.audio_sentiment.baselines.perceptron import HIDDEN_COUNT, OUTPUT_COUNT, Perceptron, read_published
from training.audio_sentiment.corpus import read_corpus
from training.audio_sentiment.fit import Recipe, targets
from training.audio_sentiment.labels import FOLD_COUNT, RatedSong, assign_fold
from training.audio_sentiment.rendering import render_if_midi
from training.audio_sentiment.report import Reading
from training.audio_sentiment.validation import OutOfFold
from training.cache import load_or_compute
from training.manifest import write_manifest

__all__ = ["Schedule", "fit_perceptron", "train_perceptron"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
MIDDLE_WINDOWS = 20  # ten seconds
SPREAD = Recipe().spread
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """How a perceptron is trained: the original's rate; the passes are a fifth of its thirty."""

    epochs: int = 6
    windows_per_song: int = 20
    batch: int = 256
    rate: float = 1e-4
    dropout: float = 0.5
    seed: int = 0


def fit_perceptron(features: Sequence[NDArray[np.float16]], wanted: Sequence[F64], schedule: Schedule) -> Perceptron:
    """Fits on songs.

    Args:
        features: of each song (windows, FEATURE_COUNT).
        wanted: of each song (windows, 2), on the common scale.
        schedule: of the training.
    """
    rng = np.random.default_rng(schedule.seed)
    torch.manual_seed(schedule.seed)
    drop, first = torch.nn.Dropout(schedule.dropout), torch.nn.Linear(FEATURE_COUNT, HIDDEN_COUNT)
    last = torch.nn.Linear(HIDDEN_COUNT, OUTPUT_COUNT)
    network = torch.nn.Sequential(drop, first, torch.nn.Sigmoid(), last)
    optimiser = torch.optim.Adam(network.parameters(), lr=schedule.rate)
    for _ in range(schedule.epochs):
        picks = [rng.integers(0, len(song), schedule.windows_per_song) for song in features]
        x = np.concatenate([song[pick] for song, pick in zip(features, picks, strict=True)])
        y = np.concatenate([target[pick] for target, pick in zip(wanted, picks, strict=True)]).astype(np.float32)
        for chosen in np.array_split(rng.permutation(len(x)), -(-len(x) // schedule.batch)):
            predicted = network(torch.from_numpy(x[chosen].astype(np.float32)))
            loss = torch.square(predicted - torch.from_numpy(y[chosen])).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    neutral = np.zeros(OUTPUT_COUNT, np.float32), np.ones(OUTPUT_COUNT, np.float32)
    hidden, output = _to_numpy(first.weight.T), _to_numpy(last.weight.T)
    plain = Perceptron(hidden, _to_numpy(first.bias), output, _to_numpy(last.bias), *neutral)
    predicted = np.concatenate([plain.read(song[::4].astype(np.float32)) for song in features])
    return replace(plain, mean=predicted.mean(axis=0), spread=predicted.std(axis=0))


def _to_numpy(value: torch.Tensor) -> F32:
    return np.ascontiguousarray(value.detach().numpy())


def train_perceptron(options: argparse.Namespace) -> list[OutOfFold]:
    """Runs `deepsing train audio --model deepsing-mlp`; returns readings to be reported.

    With a checkpoint of the authors, it reads all songs (they were in none of its folds); with --evaluate, perceptrons
    that never saw a song's group read it; otherwise there are none, and a perceptron of all songs is written.
    """
    corpus = read_corpus(options.data)
    features = [_load_windows(song, name, options.cache) for name, song in tqdm(corpus, desc="reading", mininterval=5)]
    if options.checkpoint:
        model = read_published(options.checkpoint, options.statistics)
        return [(name, song, _read(model, x)) for (name, song), x in zip(corpus, features, strict=True)]
    wanted = [
        _window_targets(song, rated, len(x))
        for (_, song), rated, x in zip(corpus, _corpus_targets(corpus), features, strict=True)
    ]
    schedule, readings = Schedule(), list[OutOfFold]()
    folds = np.array([assign_fold(song.group) for _, song in corpus])
    if options.evaluate:
        for fold in tqdm(range(FOLD_COUNT), desc="folds"):
            train = np.flatnonzero(folds != fold)
            model = fit_perceptron([features[i] for i in train], [wanted[i] for i in train], schedule)
            readings += [(*corpus[i], _read(model, features[i])) for i in np.flatnonzero(folds == fold)]
    _write(fit_perceptron(features, wanted, schedule), options.weights or options.cache, schedule)
    return readings


def _corpus_targets(corpus: Sequence[tuple[str, RatedSong]]) -> F64:
    return targets([song for _, song in corpus], Recipe())


def _window_targets(song: RatedSong, rated: F64, count: int) -> F64:
    """The rating of each window, (count, 2): of the curve where there is one, else the song's."""
    if song.curve is None:
        return np.tile(rated, (count, 1))
    middles_s = (np.arange(len(song.curve)) + 0.5) * (song.duration_s or count * WINDOW_S) / len(song.curve)
    known_s = (np.arange(count) + 1) * WINDOW_S
    return Recipe().rating_gain * np.stack([np.interp(known_s, middles_s, column) for column in song.curve.T], axis=1)


def _read(model: Perceptron, features: NDArray[np.float16]) -> Reading:
    course = SPREAD * model.read(features.astype(np.float32)).astype(np.float64)
    start = (len(course) - MIDDLE_WINDOWS) // 2
    middle = course[start : start + MIDDLE_WINDOWS].mean(axis=0) if start > 0 else None
    return Reading(course.mean(axis=0), course, middle)


def _load_windows(song: RatedSong, collection: str, cache: Path) -> NDArray[np.float16]:
    """The song's features, computed once."""
    path = cache / "original" / f"{collection}_{song.path.name}.npy"

    def read_song() -> NDArray[np.float16]:
        playable = render_if_midi(song.path, cache / "renderings")
        with decode_blocks(playable, mono=True, sample_rate_hz=SAMPLE_RATE_HZ) as decoding:
            return windows(np.concatenate(list(decoding))).astype(np.float16)

    return np.asarray(load_or_compute(path, read_song), np.float16)


def _write(model: Perceptron, folder: Path, schedule: Schedule) -> None:
    path = folder / "deepsing-mlp.npz"
    np.savez(path, **{name: value.astype(np.float16) for name, value in vars(model).items()})
    write_manifest(path, {"schedule": asdict(schedule)})
    logger.info("%s", path)
