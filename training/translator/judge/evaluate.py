"""deepsing eval image-sentiment: measures the models that read what people feel at pictures.

Two readers, the judge and the labeller, read rated photos whose themes they never saw; with --engine also the engine's
pictures of rated concepts.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from services.translator.catalogue import EMBEDDED
from services.translator.judge.model import Judge, PictureFeatures, load_judge, select_blocks
from services.translator.judge.reader import BACKBONE, CONCEPTS
from services.translator.lexicon import F32, F64, Lexicon, load_lexicon
from training.agreement import DIMENSIONS, measure_with_intervals
from training.generator.painting import list_concepts, open_engine
from training.program import new_parser
from training.translator.judge.photos import FOLD_COUNT, Photos, assign_folds, extract_features, read_photos
from training.translator.sampling import Samples, draw_samples

__all__ = ["RATINGS_HELP", "add_photo_arguments", "build_parser", "format_table", "select_photos", "main", "measure"]

RATINGS_HELP = """The ratings (with --oasis: its oasis.csv) are a CSV with one row for each photo and these columns:
  file                        the photo's file in the folder of --images
  arousal_mean, valence_mean  mean ratings of people, from the lowest to the highest of --scale (default: 1 to 7)
  theme                       what it shows, for example dog; photos of one theme are never on both sides of a
                              cross-validation (default: the file's name without its number)
  category, source            if you like, as in OASIS: photos from Pixabay without a Person are reported apart
"""
EXAMPLES = """examples:
  deepsing eval image-sentiment --oasis DIR
  deepsing eval image-sentiment --images DIR --ratings my.csv --scale 1 9 --json
"""
READERS = ("judge", "labeller")
PER_CONCEPT = 2  # pictures of an engine
TRUNCATIONS = (0.2, 0.5)  # how far noise moves a picture: in stories, in the training of views
SEED = 7


def measure(judge: Judge, features: F32, photos: Photos) -> dict[str, Any]:
    """Reads every photo without its theme and compares with people: all, and the kind that the engine paints."""
    read = judge.read(features, [(theme,) for theme in photos.themes])
    themes = np.array(photos.themes)
    kinds = {"all": np.ones(len(themes), bool), "pixabay_impersonal": photos.impersonal}
    return {
        name: measure_with_intervals(photos.ratings[kind], read[kind], themes[kind]) | {"n": int(kind.sum())}
        for name, kind in kinds.items()
        if kind.any()
    }


def linear_baseline(features: F32, photos: Photos, folds: dict[str, int]) -> F64:
    """The measured start: ridge regression on mean and maximum of lite0's head, read theme-disjoint, (N, 2)."""
    values = select_blocks(features, ("lite0.mean", "lite0.maximum"))
    standard = (values - values.mean(0)) / (values.std(0) + 1e-6) / np.sqrt(values.shape[1])
    fold = np.array([folds[theme] for theme in photos.themes])
    read = np.empty_like(photos.ratings)
    for left_out in range(FOLD_COUNT):
        kept, centre = fold != left_out, photos.ratings[fold != left_out].mean(0)
        system = standard[kept] @ standard[kept].T + np.eye(kept.sum())
        weights = standard[kept].T @ np.linalg.solve(system, photos.ratings[kept] - centre)
        read[~kept] = standard[~kept] @ weights + centre
    return read


def measure_baseline(features: F32, photos: Photos) -> dict[str, Any]:
    """The baseline on the judge's folds."""
    read = linear_baseline(features, photos, assign_folds(photos.themes, "judge"))
    return {"all": measure_with_intervals(photos.ratings, read, np.array(photos.themes)) | {"n": len(photos.files)}}


def measure_painted(judge: Judge, lexicon: Lexicon, samples: Samples) -> dict[str, Any]:
    """Reads pictures of concepts that people rated, without the concept's theme, and compares with those ratings."""
    rated = samples.select(np.flatnonzero(lexicon.by_people[samples.concepts]))
    themes = np.array(lexicon.themes)[rated.concepts]
    read = judge.read(rated.features, [(theme,) for theme in themes.tolist()])
    return measure_with_intervals(lexicon.ratings[rated.concepts], read, themes) | {"n": len(themes)}


def add_photo_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which photos."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--oasis", type=Path, metavar="DIR", help="folder with oasis.csv and images/")
    source.add_argument("--images", type=Path, metavar="DIR", help="folder of photos of your own; with --ratings")
    parser.add_argument("--ratings", type=Path, metavar="CSV", help="what people felt at them; columns below")
    scale = "lowest and highest rating (default: 1 7)"
    parser.add_argument(
        "--eyes",
        type=Path,
        default=EMBEDDED / BACKBONE,
        metavar="FILE",
        help="the network that photos are looked at with (default: the shipped)",
    )
    parser.add_argument("--scale", type=float, nargs=2, default=(1.0, 7.0), metavar=("LOW", "HIGH"), help=scale)


def select_photos(options: argparse.Namespace) -> tuple[Photos, Path]:
    """The photos that the arguments of `add_photo_arguments` name, and their folder.

    Raises:
        OSError: the table cannot be read.
        ValueError: it is not what it should be, or is not given.
    """
    if options.oasis:
        return read_photos(options.oasis / "oasis.csv"), options.oasis / "images"
    if options.ratings is None:
        raise ValueError("--images has no ratings; give --ratings, a CSV of file, arousal_mean, valence_mean, theme")
    return read_photos(options.ratings, tuple(options.scale)), options.images


def sample_engine(path: Path, backbone: PictureFeatures, lexicon: Lexicon) -> dict[float, Samples]:
    """Pictures of every concept of an engine at each of TRUNCATIONS.

    Raises:
        ValueError: the engine has other concepts than the table.
    """
    engine = open_engine(path)
    if list_concepts(engine) != lexicon.names:
        raise ValueError(f"{path.name} has other concepts than {CONCEPTS}; run training.translator.build_concepts")
    return {truncation: draw_samples(engine, backbone, PER_CONCEPT, truncation, SEED) for truncation in TRUNCATIONS}


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing eval image-sentiment", __doc__ or "", f"{RATINGS_HELP}\n{EXAMPLES}")
    add_photo_arguments(parser)
    parser.add_argument(
        "--weights", type=Path, default=EMBEDDED, metavar="DIR", help="folder of the readers (default: the shipped)"
    )
    parser.add_argument(
        "--engine", type=Path, metavar="FILE", help="an engine's .onnx file; its pictures are read, too"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    try:
        (photos, folder), backbone = select_photos(options), PictureFeatures(options.eyes)
        readers = {name: load_judge(options.weights / f"{name}.npz") for name in READERS}
        features = extract_features(backbone, folder, photos.files)
        report = {name: measure(reader, features, photos) for name, reader in readers.items()}
        report["baseline"] = measure_baseline(features, photos)
        if options.engine:
            lexicon = load_lexicon(options.weights / CONCEPTS)
            for truncation, samples in sample_engine(options.engine, backbone, lexicon).items():
                for name, reader in readers.items():
                    report[name][f"engine, noise {truncation:g}"] = measure_painted(reader, lexicon, samples)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if options.json else format_table(report))


def format_table(report: dict[str, dict[str, Any]]) -> str:
    """The report as text, one reader on one set of pictures a line."""
    lines = [
        f"{'reader':<9} {'pictures':<19} {'n':>5}"
        + "".join(f"  {name:<9} r {'95 %':<10}   CCC  RMSE sign" for name in DIMENSIONS)
    ]
    for name, sets in report.items():
        for pictures, row in sets.items():
            cells = ""
            for dimension in DIMENSIONS:
                one = row[dimension]
                low, high = one["r_95"]
                span = f"{low:.2f}-{high:.2f}"
                cells += f"  {one['r']:>11.3f} {span:<10} {one['ccc']:.3f} {one['rmse']:.3f} {one['accuracy']:.2f}"
            lines.append(f"{name:<9} {pictures:<19} {row['n']:>5}{cells}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
