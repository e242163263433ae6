"""deepsing train image-sentiment: fits the two models that read what people feel at pictures, and measures them.

Two, because the judge, which reads the pictures of stories, must not be the labeller, which labels samples for the
neural translators: they see different parts of the backbone and are cut into different folds.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.translator.catalogue import EMBEDDED
from services.translator.judge.model import (
    BLOCKS,
    CLIP,
    Judge,
    PictureFeatures,
    distances,
    pair_index,
    project,
    save_judge,
    select_blocks,
)
from services.translator.lexicon import F32
from training.manifest import write_manifest
from training.program import new_parser
from training.translator.judge.evaluate import RATINGS_HELP, add_photo_arguments, format_table, measure, select_photos
from training.translator.judge.photos import FOLD_COUNT, Photos, assign_folds, extract_features

__all__ = ["READERS", "PhotoFeatures", "extract_photo_features", "build_parser", "fit", "main"]

EXAMPLES = """examples:
  deepsing train image-sentiment --oasis DIR
  deepsing train image-sentiment --images DIR --ratings my.csv --scale 1 9 --out my-readers
"""
CODE_SIZE = 128  # principal components
RIDGE = 0.6
READERS = {  # which blocks of the features each takes
    "judge": tuple(f"{network}.{part}" for network in ("lite0", "lite2") for part in ("mean", "middle", "spread")),
    "labeller": ("lite0.maximum", "lite2.maximum"),
}


@dataclass(frozen=True)
class PhotoFeatures:
    """Photos and their features: as they are, and softened, so that soft pictures are read as well."""

    photos: Photos  # N
    sharp: F32  # (N, D)
    soft: F32  # (N, D)


def extract_photo_features(photos: Photos, folder: Path, backbone: PictureFeatures) -> PhotoFeatures:
    """Extracts the features of every photo of a folder, sharp and softened."""
    return PhotoFeatures(
        photos,
        extract_features(backbone, folder, photos.files),
        extract_features(backbone, folder, photos.files, soft=True),
    )


def fit(seen: PhotoFeatures, blocks: tuple[str, ...], folds: dict[str, int]) -> Judge:
    """Fits one reader.

    Standardisation, components and the kernel's width use features alone, of all photos; ratings enter only the
    coefficients, each set of which leaves out the photos of its folds.
    """
    values = select_blocks(np.concatenate([seen.sharp, seen.soft]), blocks)
    ratings = np.tile(seen.photos.ratings, (2, 1))
    fold = np.array([folds[theme] for theme in seen.photos.themes * 2])
    mean, scale = values.mean(0), values.std(0) + 1e-6
    basis = principal_axes(values, mean, scale, [BLOCKS[block].stop - BLOCKS[block].start for block in blocks])
    codes = project(values, mean, scale, basis).astype(np.float16).astype(np.float32)  # as they are stored
    squared = distances(codes, codes)
    gamma = float(1 / np.median(squared))
    similar = np.exp(-gamma * squared)
    pairs = [(low, high) for low in range(FOLD_COUNT) for high in range(low, FOLD_COUNT)]
    assert [pair_index(*pair, FOLD_COUNT) for pair in pairs] == list(range(len(pairs)))
    coefficients = np.zeros((len(pairs) + 1, len(fold), 2), np.float32)
    offsets = np.zeros((len(pairs) + 1, 2), np.float32)
    for row, left_out in enumerate([*pairs, ()]):
        kept = ~np.isin(fold, left_out)
        offsets[row] = ratings[kept].mean(0)
        system = similar[np.ix_(kept, kept)] + RIDGE * np.eye(kept.sum())
        coefficients[row, kept] = np.linalg.solve(system, ratings[kept] - offsets[row])
    return Judge(blocks, folds, FOLD_COUNT, gamma, mean, scale, basis, codes, coefficients, offsets)


def principal_axes(values: F32, mean: F32, scale: F32, widths: list[int]) -> F32:
    """Principal axes of the standardised features, (D, P ≤ CODE_SIZE), with every block weighing the same."""
    weight = np.repeat(1 / np.sqrt(widths), widths).astype(np.float32)
    standard = np.clip((values - mean) / scale, -CLIP, CLIP) * weight
    standard -= standard.mean(0)
    powers, sides = np.linalg.eigh(standard @ standard.T)  # rows are fewer than columns; the strongest come last
    strong = np.flatnonzero(powers > powers[-1] * 1e-6)[-CODE_SIZE:]  # of few photos there are fewer components
    axes = standard.T @ (sides[:, strong] / np.sqrt(powers[strong]))
    return np.asarray((weight[:, None] * axes).astype(np.float16).astype(np.float32))  # as they are stored


def write_judge(judge: Judge, name: str, folder: Path, facts: dict[str, object]) -> None:
    """Writes the weights and the manifest beside them."""
    path = folder / f"{name}.npz"
    save_judge(judge, path)
    write_manifest(path, facts)


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing train image-sentiment", __doc__ or "", f"{RATINGS_HELP}\n{EXAMPLES}")
    add_photo_arguments(parser)
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the weights (default with --oasis: the shipped ones)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.out is None and options.oasis is None:
        parser.error("give --out, the folder for the weights of your own readers")
    out = options.out or EMBEDDED
    try:
        photos, folder = select_photos(options)
        folds = {name: assign_folds(photos.themes, name) for name in READERS}
        seen = extract_photo_features(photos, folder, PictureFeatures(options.eyes))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    out.mkdir(parents=True, exist_ok=True)
    source = "--oasis DIR" if options.oasis else "--images DIR --ratings CSV"
    report = {}
    for name, blocks in READERS.items():
        judge = fit(seen, blocks, folds[name])
        report[name] = measure(judge, seen.sharp, photos)
        data = f"{len(photos.files)} rated photos of {len(set(photos.themes))} themes"
        facts: dict[str, object] = {
            "data": "OASIS (Kurdi, Lozano & Banaji 2017): " + data if options.oasis else data,
            "backbone": "eyes.onnx: efficientnet-lite0 and -lite2 (Apache-2.0), frozen",
            "command": f"deepsing train image-sentiment {source}",
            "metrics": report[name],
        }
        write_judge(judge, name, out, facts)
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if options.json else format_table(report))


if __name__ == "__main__":
    main()
