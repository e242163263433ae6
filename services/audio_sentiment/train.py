"""Trains the head and writes the models; with --evaluate, cross-validates the recipe first.

`python -m services.audio_sentiment.train --data DIR --musicnn DIR --cache DIR --evaluate`

DIR of --data holds one folder per collection, each with a labels.csv. The windows' features are kept in the cache, so
an interrupted run goes on where it was. On one core, hearing takes a hundredth of the songs' length, the fit seconds.
"""

import argparse
import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from services.audio_sentiment.corpus import hear, read_corpus
from services.audio_sentiment.embedding import Network
from services.audio_sentiment.export import WEIGHTS, export_network, read_musicnn, write_head
from services.audio_sentiment.fit import Recipe, Studied, fit_head, study
from services.audio_sentiment.network import tagger_weights
from services.audio_sentiment.validation import cross_validate, tabulate

__all__ = ["main"]

CARRIED = ("hidden", "hidden_bias", "hidden_scale", "hidden_shift")
logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains; returns the exit status."""
    parser = argparse.ArgumentParser(prog="deepsing train audio", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of collections")
    parser.add_argument("--musicnn", type=Path, required=True, help="folder MSD_musicnn of the unpacked wheel")
    parser.add_argument("--cache", type=Path, required=True, help="folder for features and renderings")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where to write the models")
    parser.add_argument("--takes", type=int, default=0, help="versions of every song at another level to add")
    parser.add_argument("--evaluate", action="store_true", help="cross-validate, and put the tables in the manifest")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    tensors = read_musicnn(options.musicnn)
    network_path = export_network(tensors, options.weights)
    digest = json.loads(network_path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
    dense = {name: value for name, value in tagger_weights(tensors).items() if name in CARRIED}
    recipe = Recipe()
    takes = [
        study(hear(read_corpus(options.data), _opened(network_path), digest, options.cache, take=take), dense, recipe)
        for take in range(options.takes + 1)
    ]
    songs, extra = takes[0], [song for take in takes[1:] for song in take]
    facts = _facts(songs, recipe, options.takes)
    if options.evaluate:
        facts["cross_validation"] = tabulate(cross_validate(songs, extra, dense, recipe))
        logger.info("%s", json.dumps(facts["cross_validation"], indent=1))
    head = fit_head([*songs, *extra], dense, recipe)
    arrays = {field.name: getattr(head, field.name) for field in dataclasses.fields(head)}
    logger.info("%s", write_head(arrays, options.weights, facts))
    return 0


def _opened(path: Path) -> Network:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Network = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session


def _facts(songs: Sequence[Studied], recipe: Recipe, takes: int) -> dict[str, Any]:
    collections = [song.song.collection for song in songs]
    return {
        "trained_on": {name: collections.count(name) for name in sorted(set(collections))},
        "recipe": dataclasses.asdict(recipe),
        "command": f"python -m services.audio_sentiment.train --data DIR --musicnn DIR --cache DIR --takes {takes}",
        "card": "docs/models/audio_sentiment.md",
    }


if __name__ == "__main__":
    raise SystemExit(main())
