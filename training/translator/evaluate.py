"""deepsing eval translator: measures how well the chosen concepts follow the emotions that are asked for.

The translators are compared on random walks over the plane of arousal and valence, by the ratings of the concepts.
With an engine and a backbone the pictures are painted, too, and the image-sentiment model (the judge) reads them.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from services.translator.catalogue import EMBEDDED, find_file, open_translators, table_path
from services.translator.judge.model import PictureFeatures, load_judge
from services.translator.lexicon import F32, F64, Lexicon
from services.translator.translate import Passage, Translator, translate
from training.agreement import DIMENSIONS, measure_dimensions, measure_with_intervals
from training.generator.painting import open_engine_with_latents
from training.program import new_parser
from training.translator.sampling import TRUNCATION, EngineSampler

__all__ = ["build_parser", "evaluate", "main", "smoothness", "random_walk"]

EXAMPLES = """examples:
  deepsing eval translator
  deepsing eval translator --engine services/generator/weights/canvas.onnx \\
    --backbone services/translator/weights/eyes.onnx --json
"""
JUDGED = 300  # pictures that the judge reads for each translator
KEYS_A_MINUTE = 12  # as many as the original shows; the composer's pace follows the song, about so
SHUFFLES = 20  # random orders that a path is compared with


def evaluate(translator: Translator, curves: int, points: int, sampler: EngineSampler | None = None) -> dict[str, Any]:
    """Translates seeded random walks and compares what was asked with how the concepts are rated.

    Args:
        translator: the one to measure.
        curves: how many walks, seeds 0, 1, …
        points: sentiments of each walk.
        sampler: paints JUDGED of the sentiments and reads the pictures.

    Returns:
        n, agreement of both dimensions over all walks together by the ratings, `within` as the mean r inside one
        walk, mean distinct main concepts per 100 rows and per minute, the mean largest weight of a row, `jump`, the
        mean distance of successive main concepts (1: as any two concepts); with a sampler `path`, the mean
        `smoothness` of a walk, `by_judge`, with intervals over walks, and in it the `ceiling`: how well the judge
        follows people on these very pictures.
    """
    lexicon = translator.lexicon
    targets = [random_walk(lexicon, seed, points) for seed in range(curves)]
    translations = [translate(translator, Passage(walk, seed=seed)) for seed, walk in enumerate(targets)]
    within = [
        measure_dimensions(walk, one.expected.astype(float)) for walk, one in zip(targets, translations, strict=True)
    ]
    weights = [one.class_weights for one in translations]
    target = np.concatenate(targets)
    report: dict[str, Any] = {"n": len(target)}
    report |= measure_dimensions(target, np.concatenate([one.expected for one in translations]).astype(float))
    for dimension in DIMENSIONS:
        report[dimension]["within"] = float(np.mean([walk[dimension]["r"] for walk in within]))
    mains = [rows.argmax(1) for rows in weights]
    report["distinct_per_100"] = float(np.mean([len(set(rows)) for rows in mains]) * 100 / points)
    minutes = [rows[at : at + KEYS_A_MINUTE] for rows in mains for at in range(len(rows) - KEYS_A_MINUTE + 1)]
    report["distinct_per_minute"] = float(np.mean([len(set(minute)) for minute in minutes])) if minutes else 0.0
    report["jump"] = float(np.mean([lexicon.distances[rows[:-1], rows[1:]].mean() for rows in mains]))
    report["main_weight"] = float(np.mean([rows.max(1).mean() for rows in weights]))
    if sampler is not None:
        shown = np.linspace(0, len(target) - 1, JUDGED).astype(int)  # spread over all walks
        noise, rated = (
            np.concatenate([getattr(one, name) for one in translations])[shown] for name in ("noise", "expected")
        )
        read, walk = sampler.read_painted(np.concatenate(weights)[shown], noise), (shown // points).astype(str)
        report["by_judge"] = {"n": len(shown)} | measure_with_intervals(target[shown], read, walk)
        report["by_judge"]["ceiling"] = measure_with_intervals(rated.astype(float), read, walk)
        report["path"] = float(np.mean([smoothness(rows, sampler.latents) for rows in weights]))
    return report


INERTIA, STEP = 0.8, 0.025  # a curve drifts rather than jitters: about 0.04 of the plane's half-side a point
SIDES = 64  # of the polygon around the concepts


def random_walk(lexicon: Lexicon, seed: int, count: int) -> F64:
    """A slowly moving curve over the part of the plane that lies between concepts (their convex hull), (count, 2)."""
    rng = np.random.default_rng(seed)
    angles = np.arange(SIDES) * 2 * np.pi / SIDES
    outward = np.stack([np.cos(angles), np.sin(angles)])
    edge = (lexicon.ratings @ outward).max(0)
    point, speed = lexicon.ratings[rng.integers(len(lexicon.names))], np.zeros(2)
    points = np.empty((count, 2))
    for row in range(count):
        speed = INERTIA * speed + rng.normal(0, STEP, 2)
        while ((point + speed) @ outward > edge + 1e-9).any():  # bounces off the edge
            speed = -0.5 * speed
        point = point + speed
        points[row] = point
    return points


def smoothness(class_weights: F32, latents: F32) -> float:
    """How far a path moves a step, as a share of what the same points in random order move: below 1 is smoother.

    Args:
        class_weights: (n, K), the path.
        latents: (K, D), of the engine's concepts.
    """
    points = (class_weights @ latents).astype(np.float64)
    shuffled = np.random.default_rng(0).permuted(np.tile(np.arange(len(points)), (SHUFFLES, 1)), axis=1)
    step, anyhow = (np.linalg.norm(np.diff(way, axis=-2), axis=-1).mean() for way in (points, points[shuffled]))
    return float(step / anyhow) if anyhow > 0 else 1.0


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing eval translator", __doc__ or "", EXAMPLES)
    parser.add_argument("--weights", type=Path, default=EMBEDDED, metavar="DIR", help="folder of the translators")
    parser.add_argument(
        "--engine-name", metavar="NAME", help="whose translators (default: the engine file's name, else canvas)"
    )
    parser.add_argument("--curves", type=int, default=20, metavar="N", help="random walks (default: 20)")
    parser.add_argument("--points", type=int, default=100, metavar="N", help="emotions of each walk (default: 100)")
    parser.add_argument("--engine", type=Path, metavar="FILE", help="the engine's .onnx file, to paint with")
    parser.add_argument("--backbone", type=Path, metavar="FILE", help="eyes.onnx, which the judge reads pictures with")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if (options.engine is None) != (options.backbone is None):
        parser.error("--engine and --backbone go together")
    engine = options.engine_name or (options.engine.stem if options.engine else "canvas")
    named = open_translators(table_path(engine, options.weights))
    sampler = open_sampler(options, named["dictionary"].lexicon) if options.engine else None
    report = {name: evaluate(translator, options.curves, options.points, sampler) for name, translator in named.items()}
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if options.json else format_table(report))


def open_sampler(options: argparse.Namespace, lexicon: Lexicon) -> EngineSampler:
    """The engine and the judge, at the truncation that views are trained at."""
    engine, latents = open_engine_with_latents(options.engine)
    judge = load_judge(find_file("judge.npz", [options.weights]))
    return EngineSampler(lexicon, engine, latents, PictureFeatures(options.backbone), judge, TRUNCATION)


def format_table(report: dict[str, dict[str, Any]]) -> str:
    """The report as text, one translator a line."""
    head = "translator      n     r(A)  r(V)  ccc(A) ccc(V) rmse(A) rmse(V) distinct/100  jump  "
    head += "judge r(A) r(V)  ceiling   path"
    lines = [head]
    for name, row in report.items():
        a, v = row["arousal"], row["valence"]
        cells = f"{name:<15} {row['n']:<5} {a['r']:.3f} {v['r']:.3f} {a['ccc']:.3f}  {v['ccc']:.3f}  {a['rmse']:.3f}   "
        cells += f"{v['rmse']:.3f}   {row['distinct_per_100']:<12.0f}  {row['jump']:.2f}  "
        if judged := row.get("by_judge"):
            follows = [side[dimension]["r"] for side in (judged, judged["ceiling"]) for dimension in DIMENSIONS]
            cells += "      {:.2f}  {:.2f}  {:.2f} {:.2f}   ".format(*follows) + f"{row['path']:.2f}"
        lines.append(cells)
    return "\n".join(line.rstrip() for line in lines) + "\n"


if __name__ == "__main__":
    main()
