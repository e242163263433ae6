"""Trains a model of audio sentiment and writes it; with --evaluate, cross-validates its recipe first.

`deepsing train audio --data DIR --musicnn DIR --cache DIR --evaluate` trains the sentiment model that is shipped;
`deepsing train audio --model deepsing-mlp --data DIR --cache DIR --evaluate` trains the original's, the baseline.

DIR of --data holds one folder per collection, each with a labels.csv. What is heard is kept in the cache, so an
interrupted run goes on where it was. On one core, hearing takes a hundredth of the songs' length, the fit a minute.
"""

import argparse
import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepsing.runtime.onnx import open_session
from services.audio_sentiment.embedding import Networks
from services.audio_sentiment.feature_extractor import Window
from training.audio_sentiment.baselines.perceptron import PublishedFileError
from training.audio_sentiment.baselines.perceptron_training import train_perceptron
from training.audio_sentiment.corpus import features_digest, load_windows, read_corpus
from training.audio_sentiment.export import MODELS, WEIGHTS, export_networks, read_musicnn, write_sentiment_model
from training.audio_sentiment.fit import Recipe, compute_features, fit_sentiment_model
from training.audio_sentiment.network import tagger_weights
from training.audio_sentiment.report import format_table, pool_collections
from training.audio_sentiment.validation import OutOfFold, cross_validate, tabulate

__all__ = ["main"]

CARRIED = ("hidden", "hidden_bias", "hidden_scale", "hidden_shift")
MIDDLE_S = 10.0
logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="deepsing train audio", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=("taggers", "deepsing-mlp"), default="taggers", help="(default: taggers)")
    parser.add_argument("--data", type=Path, required=True, help="folder of collections")
    parser.add_argument("--musicnn", type=Path, help="folder musicnn of the unpacked wheel; taggers need it")
    parser.add_argument("--cache", type=Path, required=True, help="folder for features and renderings")
    parser.add_argument(
        "--weights", type=Path, help="where to write (taggers: where the service looks; else the cache)"
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="also measure excerpts of ten seconds, and print the tables"
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="deepsing-mlp: the authors' mlp.model, as it is"
    )
    parser.add_argument("--statistics", type=Path, metavar="FILE", help="deepsing-mlp: their space_statistics.pickle")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.model == "deepsing-mlp":
        try:
            log_tables(train_perceptron(options))
        except PublishedFileError as error:
            parser.error(str(error))
        return 0
    if options.musicnn is None:
        parser.error("--musicnn is missing; unpack the wheel of pip download --no-deps musicnn==0.1.0")
    _train_sentiment_model(options)
    return 0


def log_tables(readings: Sequence[OutOfFold]) -> dict[str, Any]:
    """Prints the tables of readings, of each collection; returns them as data."""
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
    weights = options.weights or WEIGHTS
    paths = export_networks(options.musicnn, weights)
    networks = Networks(*(open_session(paths[name], threads=1) for name in ("network", "patch")))
    digest, recipe = features_digest(*paths.values()), Recipe()
    tensors = tagger_weights(read_musicnn(options.musicnn / MODELS["network"]))
    dense = {name: value for name, value in tensors.items() if name in CARRIED}
    corpus = read_corpus(options.data)
    songs = compute_features(load_windows(corpus, networks, digest, options.cache), dense, recipe)
    facts: dict[str, Any] = {
        "trained_on": {name: sum(place == name for place, _ in corpus) for name in sorted({c for c, _ in corpus})},
        "recipe": dataclasses.asdict(recipe),
        "command": "deepsing train audio --data DIR --musicnn DIR --cache DIR --evaluate",
        "card": "docs/models/audio_sentiment.md",
    }
    middles: list[Sequence[Window]] = [()] * len(songs)
    if options.evaluate:
        heard = load_windows(corpus, networks, digest, options.cache, middle_s=MIDDLE_S)
        middles = [song.windows for song in heard]
    readings = cross_validate(songs, middles, dense, recipe)  # typical music is read by models that never saw the song
    facts["typical"] = round_floats(measure_typical(readings))
    if options.evaluate:
        facts["cross_validation"] = round_floats(log_tables(readings))
    model = fit_sentiment_model(songs, dense, recipe)
    arrays = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    logger.info("%s", write_sentiment_model(arrays, weights, facts))


def round_floats(value: Any) -> Any:
    """The same data with four digits after the point."""
    if isinstance(value, dict):
        return {name: round_floats(part) for name, part in value.items()}
    if isinstance(value, list):
        return [round_floats(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    raise SystemExit(main())
