"""Trains the neural views of an engine and measures them on samples they never saw: one command.

`python -m services.translator.train --engine ENGINE.onnx --backbone BACKBONE.onnx`
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from services.translator.catalogue import EMBEDDED
from services.translator.judge import Eyes, Judge, load_judge
from services.translator.lessons import lesson
from services.translator.lexicon import F32, F64, Lexicon, load_lexicon
from services.translator.measures import agreement
from services.translator.network import STEPS, train_view
from services.translator.sampling import Painter, Samples, draw
from services.translator.translate import NOISE_SIZE, Passage, translate
from services.translator.views import View, ViewTranslator, save_views

__all__ = ["Workshop", "main", "train_views"]

HELD_OUT = 0.2  # share of the samples that no view sees
TEST_FEELINGS = 40  # held-out feelings on which each view is tried


@dataclass(frozen=True)
class Workshop:
    """All that training needs beside the samples."""

    lexicon: Lexicon
    painter: Painter
    eyes: Eyes
    labeller: Judge  # reads the samples that views learn from
    judge: Judge  # reads the pictures that views make: another network, other folds
    truncation: float

    def achieved(self, class_weights: F32, noise: F32) -> F64:
        """Paints latents and lets the judge read them, none of whose two strongest concepts it knows, (N, 2)."""
        strongest = np.argsort(-class_weights, axis=1)[:, :2]
        themes = [[self.lexicon.themes[concept] for concept in row] for row in strongest]
        return self.judge.read(self.eyes.features(self.painter.paint(class_weights, noise, self.truncation)), themes)


def standardised(values: F64) -> F64:
    """Brings (n, 2) to zero mean and unit deviation."""
    return np.asarray((values - values.mean(0)) / values.std(0))


def train_views(
    shop: Workshop, samples: Samples, count: int, seed: int, steps: int = STEPS
) -> tuple[list[View], dict[str, Any]]:
    """Trains views and measures each on held-out feelings.

    Returns:
        The views, and their report: the ceiling of the readings and, per view, how well what was painted follows
        what was asked, by people's ratings of the concepts and by the judge.
    """
    themes = [(shop.lexicon.themes[concept],) for concept in samples.concepts]
    readings = standardised(shop.labeller.read(samples.features, themes))
    rng = np.random.default_rng(seed)
    held = rng.random(len(readings)) < HELD_OUT
    ratings = shop.lexicon.ratings
    centre, spread = ratings.mean(0).astype(np.float32), ratings.std(0).astype(np.float32)
    rated = ratings[samples.concepts]
    report: dict[str, Any] = {
        "samples": len(readings),
        "held_out": int(held.sum()),
        "labeller_against_people": agreement(rated, readings * spread + centre),
        "judge_against_people": agreement(rated, shop.judge.read(samples.features, themes)),
        "views": [],
    }
    targets = (readings[held] * spread + centre)[rng.permutation(int(held.sum()))[:TEST_FEELINGS]]
    views = []
    for number in range(1, count + 1):
        taught = lesson(samples.concepts[~held], readings[~held], samples.noise[~held], seed * 1000 + number)
        view = train_view(taught, centre, spread, seed * 1000 + number, steps)
        told = translate(ViewTranslator(shop.lexicon, view, number, ""), Passage(np.clip(targets, -1, 1)))
        judged = shop.achieved(told.class_weights, told.noise)
        report["views"].append(
            {
                "concepts": [shop.lexicon.names[concept] for concept in view.classes],
                "by_people": agreement(targets, told.expected.astype(np.float64)),
                "by_judge": agreement(targets, judged),
            }
        )
        views.append(view)
    return views, report


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", type=Path, required=True, help="ONNX file of services.generator.export")
    parser.add_argument("--backbone", type=Path, required=True, help="ONNX file of services.translator.backbone")
    parser.add_argument("--weights", type=Path, default=EMBEDDED, help="folder of the concept table and the judges")
    parser.add_argument("--out", type=Path, help="folder for the views (default: the folder of --weights)")
    parser.add_argument("--views", type=int, default=8, help="how many (default: 8)")
    parser.add_argument("--per-concept", type=int, default=12, help="samples of each concept (default: 12)")
    parser.add_argument("--truncation", type=float, default=0.7, help="strength of the samples' noise (default: 0.7)")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives other views (default: 1)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each view's training (default: {STEPS})")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    lexicon = load_lexicon(options.weights / "morph_concepts.json")
    painter, eyes = Painter(options.engine), Eyes(options.backbone)
    if painter.names != lexicon.names or len(painter.basis) != NOISE_SIZE:
        parser.error(
            f"{options.engine.name} paints {len(painter.names)} concepts from {len(painter.basis)} noise values; views "
            f"need the {len(lexicon.names)} concepts of the table and {NOISE_SIZE} values: build the table anew"
        )
    labeller, judge = (load_judge(options.weights / f"{name}.npz") for name in ("labeller", "judge"))
    shop = Workshop(lexicon, painter, eyes, labeller, judge, options.truncation)
    samples = draw(painter, eyes, options.per_concept, options.truncation, options.seed)
    views, report = train_views(shop, samples, options.views, options.seed, options.steps)
    path = (options.out or options.weights) / f"{lexicon.engine}_views.npz"
    save_views(views, lexicon.names, path)
    write_manifest(path, options, report)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def write_manifest(path: Path, options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Writes what is known of the views beside them."""
    chosen = f"--views {options.views} --per-concept {options.per_concept} --truncation {options.truncation}"
    manifest = {
        "name": path.stem,
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "engine_sha256": hashlib.sha256(options.engine.read_bytes()).hexdigest(),
        "command": "python -m services.translator.train --engine ENGINE.onnx --backbone BACKBONE.onnx "
        f"{chosen} --seed {options.seed}",
        "metrics": report,
    }
    path.with_suffix(".json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
