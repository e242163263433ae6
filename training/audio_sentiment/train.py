"""deepsing train audio: trains the model that reads the emotions of songs, and writes it.

The default model is the one that is shipped; it needs the networks of the package musicnn. --model deepsing-mlp trains
the original authors' model instead, which the shipped one is compared with. Features are kept in the cache, so a run
that was stopped goes on where it was. On one core, features take a hundredth of the songs' length, the fit a minute.
"""

import argparse
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsing.runtime.onnx import open_session
from services.audio_sentiment.embedding import Networks
from services.audio_sentiment.feature_extractor import Window
from training.audio_sentiment.baselines.perceptron import PublishedFileError
from training.audio_sentiment.corpus import features_digest, load_windows, read_corpus
from training.audio_sentiment.export import MODELS, WEIGHTS, export_networks, read_musicnn, write_sentiment_model
from training.audio_sentiment.fit import FeaturedSong, Recipe, compute_features, fit_sentiment_model
from training.audio_sentiment.labels import LABELS_HELP, is_kept
from training.audio_sentiment.passages import fit_passage_model
from training.audio_sentiment.report import format_table, pool_collections
from training.audio_sentiment.validation import (
    OutOfFold,
    Validation,
    cross_validate,
    fit_doubt,
    read_songs,
    tabulate,
)
from training.program import new_parser

__all__ = ["build_parser", "main"]

F32 = NDArray[np.float32]
CARRIED = ("hidden", "hidden_bias", "hidden_scale", "hidden_shift")
MIDDLE_S = 10.0
EXAMPLES = """examples:
  deepsing train audio --data DIR --musicnn musicnn --cache build/features --evaluate
  deepsing train audio --model deepsing-mlp --data DIR --cache build/features --evaluate
"""
logger = logging.getLogger(__name__)


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing train audio", __doc__ or "", f"{LABELS_HELP}\n{EXAMPLES}")
    parser.add_argument("--model", choices=("taggers", "deepsing-mlp"), default="taggers", help="(default: taggers)")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="holds a folder for each collection, with its labels.csv",
    )
    parser.add_argument("--musicnn", type=Path, metavar="DIR", help="folder musicnn of the wheel, for taggers")
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR", help="folder for features and renderings")
    parser.add_argument(
        "--weights", type=Path, metavar="DIR", help="where to write (taggers: where the service looks; else the cache)"
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="also measure excerpts of ten seconds, and print the tables"
    )
    parser.add_argument(
        "--kept",
        action="store_true",
        help="fit on two thirds of the groups, write that to --weights, and measure the third kept out of every choice",
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="deepsing-mlp: the authors' mlp.model, as it is"
    )
    parser.add_argument("--statistics", type=Path, metavar="FILE", help="deepsing-mlp: their space_statistics.pickle")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains; returns the exit status."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.model == "deepsing-mlp":
        from training.audio_sentiment.baselines.perceptron_training import train_perceptron  # needs torch

        try:
            log_tables(train_perceptron(options))
        except PublishedFileError as error:
            parser.error(str(error))
        return 0
    if options.musicnn is None:
        parser.error("--musicnn is missing; unpack the wheel of pip download --no-deps musicnn==0.1.0")
    if options.kept and options.weights is None:
        parser.error("--kept needs --weights; name a folder for the model of two thirds of the songs")
    _train_sentiment_model(options)
    return 0


def log_tables(readings: Sequence[OutOfFold]) -> dict[str, Any]:
    """Logs the table of each collection's readings; returns the tables as data."""
    tables = tabulate(readings)
    for name, answer in tables.items():
        logger.info("%s: %s", name, format_table(answer))
    if tables:
        logger.info("music in general, from the fifth second on: %s", measure_typical(readings))
    return tables


def measure_typical(readings: Sequence[OutOfFold]) -> dict[str, Any]:
    """Mean and sd of readings over music in general: what the service's GetModel answers as typical."""
    collections = sorted({name for name, _, _ in readings})
    return pool_collections([[reading for place, _, reading in readings if place == name] for name in collections])


def _train_sentiment_model(options: argparse.Namespace) -> None:
    from training.audio_sentiment.network import tagger_weights  # needs onnx

    weights = options.weights or WEIGHTS
    paths = export_networks(options.musicnn, weights)
    networks = Networks(*(open_session(paths[name], threads=1) for name in ("network", "patch")))
    digest, recipe = features_digest(*paths.values()), Recipe()
    tensors = tagger_weights(read_musicnn(options.musicnn / MODELS["network"]))
    dense = {name: value for name, value in tensors.items() if name in CARRIED}
    corpus = read_corpus(options.data)
    songs = compute_features(load_windows(corpus, networks, digest, options.cache), dense, recipe)
    middles: list[Sequence[Window]] = [()] * len(songs)
    if options.evaluate or options.kept:
        excerpts = load_windows(corpus, networks, digest, options.cache, middle_s=MIDDLE_S)
        middles = [song.windows for song in excerpts]
    if options.kept:
        _measure_kept(songs, middles, dense, recipe, weights)
        return
    facts: dict[str, Any] = {
        "trained_on": {name: sum(place == name for place, _ in corpus) for name in sorted({c for c, _ in corpus})},
        "recipe": dataclasses.asdict(recipe),
        "command": "deepsing train audio --data DIR --musicnn DIR --cache DIR --evaluate",
        "card": "docs/models/audio_sentiment.md",
    }
    # Typical music and doubt come from readings by models that never saw the song.
    readings = cross_validate(songs, middles, dense, recipe)
    if options.evaluate:
        facts["cross_validation"] = _log_hearings(readings)
    _write_model(songs, songs, readings, dense, recipe, weights, facts)


def _measure_kept(
    songs: Sequence[FeaturedSong],
    middles: Sequence[Sequence[Window]],
    dense: Mapping[str, F32],
    recipe: Recipe,
    weights: Path,
) -> None:
    """Logs the tables of the kept third, read by models that were fitted on the others, and writes these models."""
    kept = [is_kept(song.song.rating.group) for song in songs]
    learned = [song for song, held_out in zip(songs, kept, strict=True) if not held_out]
    measured = [k for k, held_out in enumerate(kept) if held_out]
    readings = read_songs(learned, [songs[k] for k in measured], [middles[k] for k in measured], dense, recipe)
    _log_hearings(readings)
    _write_model(learned, songs, readings, dense, recipe, weights, {"command": "deepsing train audio --kept"})


def _write_model(
    songs: Sequence[FeaturedSong],
    read: Sequence[FeaturedSong],
    readings: Validation,
    dense: Mapping[str, F32],
    recipe: Recipe,
    weights: Path,
    facts: Mapping[str, Any],
) -> None:
    """Fits models on `songs` and writes them; what is typical, and doubt, come from readings of `read`."""
    targets = {song.song.rating.path: song.target for song in read}
    typical = {hearing: round_floats(measure_typical(rows)) for hearing, rows in readings.items()}
    model = fit_sentiment_model(songs, dense, recipe)
    wanted = np.stack([targets[song.path] for _, song, _ in readings["live"]])
    model = dataclasses.replace(model, doubt=fit_doubt(readings["live"], wanted, model).astype(np.float32))
    parts = model, fit_passage_model([song.song for song in songs])
    arrays = {field.name: getattr(part, field.name) for part in parts for field in dataclasses.fields(part)}
    logger.info("%s", write_sentiment_model(arrays, weights, {**facts, "typical": typical}))


def _log_hearings(readings: Validation) -> dict[str, Any]:
    tables = {}
    for hearing, rows in readings.items():
        logger.info("hearing %s", hearing)
        tables[hearing] = round_floats(log_tables(rows))
    return tables


def round_floats(value: Any) -> Any:
    """The same data with four digits after the point."""
    if isinstance(value, dict):
        return {name: round_floats(part) for name, part in value.items()}
    if isinstance(value, list):
        return [round_floats(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    raise SystemExit(main())
