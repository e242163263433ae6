"""deepsing train translator: trains further translators (neural views) of an engine, and measures them.

They learn from pictures that the engine paints, and are measured on pictures that they never saw. The report is printed
as one JSON object and written into the manifest.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from services.generator.engine import Engine
from services.translator.catalogue import EMBEDDED, find_file, table_path
from services.translator.judge.model import Judge, PictureFeatures, load_judge
from services.translator.lexicon import F64, Lexicon, load_lexicon
from services.translator.translate import NOISE_SIZE, Passage, translate
from services.translator.views import View, ViewTranslator, save_views
from training.agreement import measure_dimensions
from training.generator.painting import list_concepts, open_engine_with_latents
from training.manifest import compute_digest, write_manifest
from training.program import new_parser
from training.ratings import standardise
from training.translator.build_concepts import write_table
from training.translator.sampling import TRUNCATION, EngineSampler, Samples, draw_samples
from training.translator.training_set import STEPS, build_training_set

__all__ = ["build_parser", "label_samples", "main", "measure", "train_views"]

EXAMPLES = """example:
  deepsing train translator --engine services/generator/weights/canvas.onnx \\
    --backbone services/translator/weights/eyes.onnx --out build/views --views 4
"""
HELD_OUT = 0.2  # share of the samples that no view sees
TEST_FEELINGS = 40  # held-out feelings on which each view is tried
VALIDATION = 0.25  # share of the other samples that choose among views
CANDIDATES = 3  # views drawn for each that is kept


def label_samples(lexicon: Lexicon, labeller: Judge, samples: Samples, trust: float) -> F64:
    """What each sample makes people feel, (N, 2), on the scale of their ratings.

    The paper takes the reading alone (trust 0). Where people have rated the concepts, their ratings say more about the
    subject than a reading does, and the reading adds what the noise changed: `trust` is the weight of the ratings.
    """
    themes = [(lexicon.themes[concept],) for concept in samples.concepts]
    readings = standardise(labeller.read(samples.features, themes))
    rated = standardise(lexicon.ratings[samples.concepts])
    mixed = standardise(trust * rated + (1 - trust) * readings)
    return np.asarray(mixed * lexicon.ratings.std(0) + lexicon.ratings.mean(0))


def train_views(lexicon: Lexicon, samples: Samples, sentiments: F64, count: int, seed: int, steps: int) -> list[View]:
    """Draws and trains more views than wanted and keeps those that follow the table's ratings best.

    Args:
        lexicon: the engine's concepts.
        samples: pictures to learn from.
        sentiments: (N, 2), what each makes people feel; a quarter is kept for the choice among views.
        count: how many to keep.
        seed: another one gives other views.
        steps: of each view's training.
    """
    from training.translator.network import train_view  # needs torch, which --help does without

    chosen = np.random.default_rng(seed).random(len(sentiments)) < VALIDATION
    centre, spread = lexicon.ratings.mean(0).astype(np.float32), lexicon.ratings.std(0).astype(np.float32)
    taught = ~chosen
    candidates = []
    for number in range(count * CANDIDATES):
        own = seed * 1000 + number
        scaled = (sentiments[taught] - centre) / spread
        view = train_view(
            build_training_set(samples.concepts[taught], scaled, samples.noise[taught], own), centre, spread, own, steps
        )
        expected = translate(ViewTranslator(lexicon, view, 0, ""), Passage(sentiments[chosen])).expected
        measures = measure_dimensions(sentiments[chosen], expected.astype(np.float64))
        candidates.append((measures["arousal"]["ccc"] + measures["valence"]["ccc"], number, view))
    return [view for _, _, view in sorted(candidates, key=lambda one: -one[0])[:count]]


def agreement_with_people(judge: Judge, lexicon: Lexicon, samples: Samples) -> dict[str, dict[str, float]]:
    """The judge's ceiling: how well it reads people's ratings of a concept, where there are some, off its pictures."""
    rated = samples.select(np.flatnonzero(lexicon.by_people[samples.concepts]))
    themes = [(lexicon.themes[concept],) for concept in rated.concepts]
    return measure_dimensions(lexicon.ratings[rated.concepts], judge.read(rated.features, themes))


def measure(sampler: EngineSampler, views: list[View], targets: F64) -> list[dict[str, Any]]:
    """Tries each view on feelings of samples it never saw: by the ratings of the concepts, and by the judge."""
    report = []
    for number, view in enumerate(views, start=1):
        translation = translate(ViewTranslator(sampler.lexicon, view, number, ""), Passage(targets))
        report.append(
            {
                "concepts": [sampler.lexicon.names[concept] for concept in view.classes],
                "by_ratings": measure_dimensions(targets, translation.expected.astype(np.float64)),
                "by_judge": measure_dimensions(
                    targets, sampler.read_painted(translation.class_weights, translation.noise)
                ),
            }
        )
    return report


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    (engine, latents), backbone = open_engine_with_latents(options.engine), PictureFeatures(options.backbone)
    labeller = load_judge(find_file("labeller.npz", [options.weights]))
    engine_name = options.engine_name or options.engine.stem
    table = table_path(engine_name, options.weights)
    if options.unrated:
        write_table(label_concepts(engine, backbone, labeller, engine_name), table)
        options.trust = 0.0  # nobody rated these concepts
    lexicon = load_lexicon(table)
    if list_concepts(engine) != lexicon.names or engine.noise_size != NOISE_SIZE:
        parser.error(
            f"{options.engine.name} paints {len(engine.concepts)} concepts from {engine.noise_size} noise values; "
            f"views need the {len(lexicon.names)} concepts of the table and {NOISE_SIZE} values: build the table anew"
        )
    sampler = EngineSampler(
        lexicon, engine, latents, backbone, load_judge(find_file("judge.npz", [options.weights])), options.truncation
    )
    samples = draw_samples(engine, backbone, options.per_concept, options.truncation, options.seed)
    sentiments = label_samples(lexicon, labeller, samples, options.trust)
    order = np.random.default_rng(options.seed).permutation(len(sentiments))
    held, taught = np.split(order, [int(HELD_OUT * len(order))])
    views = train_views(lexicon, samples.select(taught), sentiments[taught], options.views, options.seed, options.steps)
    report = {
        "samples": len(order),
        "held_out": len(held),
        "labeller_against_people": agreement_with_people(labeller, lexicon, samples),
        "judge_against_people": agreement_with_people(sampler.judge, lexicon, samples),
        "views": measure(sampler, views, np.clip(sentiments[held[:TEST_FEELINGS]], -1, 1)),
    }
    path = (options.out or options.weights) / f"{lexicon.engine}_views.npz"
    save_views(views, lexicon.names, path)
    write_manifest(path, describe_training(options, report))
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def label_concepts(engine: Engine, backbone: PictureFeatures, labeller: Judge, engine_name: str) -> dict[str, object]:
    """A table of concepts that only the labeller rates: its mean reading of three pictures of each."""
    samples = draw_samples(engine, backbone, 3, TRUNCATION, 0)
    read = labeller.read(samples.features, [()] * len(samples.concepts))
    felt = np.clip([read[samples.concepts == concept].mean(0) for concept in range(len(engine.concepts))], -1, 1)
    concepts = [
        {"name": name, "theme": name, "arousal": round(arousal, 3), "valence": round(valence, 3)}
        for name, (arousal, valence) in zip(list_concepts(engine), felt.tolist(), strict=True)
    ]
    return {"engine": engine_name, "source": "Sentiments are the labeller's.", "concepts": concepts}


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing train translator", __doc__ or "", EXAMPLES)
    parser.add_argument("--engine", type=Path, required=True, metavar="FILE", help="the engine's .onnx file")
    parser.add_argument(
        "--backbone", type=Path, required=True, metavar="FILE", help="eyes.onnx, which pictures are read with"
    )
    parser.add_argument(
        "--weights", type=Path, default=EMBEDDED, metavar="DIR", help="folder of the concept table and readers"
    )
    parser.add_argument("--engine-name", metavar="NAME", help="whose concept table (default: the engine file's name)")
    parser.add_argument(
        "--unrated", action="store_true", help="people rated none of its concepts: the labeller makes the table"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the views (default: the folder of --weights)"
    )
    parser.add_argument("--views", type=int, default=8, metavar="N", help="how many (default: 8)")
    parser.add_argument(
        "--per-concept", type=int, default=12, metavar="N", help="samples of each concept (default: 12)"
    )
    parser.add_argument(
        "--truncation", type=float, default=TRUNCATION, metavar="N", help="of the samples (default: 0.5)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed gives other views (default: 1)")
    parser.add_argument(
        "--trust", type=float, default=0.5, metavar="N", help="weight of the table's ratings in labels (default: 0.5)"
    )
    parser.add_argument(
        "--steps", type=int, default=STEPS, metavar="N", help=f"of each view's training (default: {STEPS})"
    )
    return parser


def describe_training(options: argparse.Namespace, report: dict[str, Any]) -> dict[str, object]:
    """What the manifest says about how the views were made."""
    names = ("views", "per_concept", "truncation", "trust", "steps", "seed")
    chosen = " ".join(f"--{name.replace('_', '-')} {getattr(options, name)}" for name in names)
    return {
        "engine_sha256": compute_digest(options.engine),
        "command": f"python -m training.translator.train --engine ENGINE.onnx --backbone BACKBONE.onnx {chosen}",
        "metrics": report,
    }


if __name__ == "__main__":
    main()
