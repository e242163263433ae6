"""Rated photos for the image-sentiment readers: their ratings, their folds by theme, and their features."""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from services.translator.judge.model import SIZE_PX, PictureFeatures
from services.translator.lexicon import F32, F64
from training.translator.build_concepts import parse_theme

__all__ = ["FOLD_COUNT", "Photos", "assign_folds", "extract_features", "read_photos"]

FOLDS = Path(__file__).parent / "oasis_folds.csv"  # committed: theme, judge's fold, labeller's fold
FOLD_COUNT = 10
SOFT_PX = (64, 40)  # of softened copies, in turn


@dataclass(frozen=True)
class Photos:
    """Rated photos."""

    files: tuple[str, ...]
    themes: tuple[str, ...]
    ratings: F64  # (N, 2): arousal, valence in -1..1
    impersonal: NDArray[np.bool_]  # (N,): of the kind the embedded engine paints: source Pixabay, no person


def read_photos(table: Path, scale: tuple[float, float] = (1.0, 7.0)) -> Photos:
    """Reads a CSV of ratings, for example that of OASIS.

    Args:
        table: columns file, arousal_mean and valence_mean; theme (default: the file's name without its number), and
            category and source as OASIS has them, where there are such.
        scale: lowest and highest rating; they become -1 and 1.

    Raises:
        OSError: the table cannot be read.
        ValueError: a column is missing, or a rating is no number of the scale.
    """
    with table.open(newline="", encoding="utf-8-sig") as lines:
        rows = list(csv.DictReader(lines))
    missing = {"file", "arousal_mean", "valence_mean"} - set(rows[0] if rows else ())
    if missing:
        raise ValueError(f"{table.name} lacks {', '.join(sorted(missing))}; give file, arousal_mean, valence_mean")
    low, high = scale
    means = np.array([[parse_rating(row, name, scale) for name in ("arousal_mean", "valence_mean")] for row in rows])
    return Photos(
        files=tuple(row["file"] for row in rows),
        themes=tuple(parse_theme(row.get("theme") or row["file"]) for row in rows),
        ratings=(means - low) / (high - low) * 2 - 1,
        impersonal=np.array([row.get("source") == "Pixabay" and row.get("category") != "Person" for row in rows]),
    )


def parse_rating(row: dict[str, str], name: str, scale: tuple[float, float]) -> float:
    """One rating of a row.

    Raises:
        ValueError: it is no number of the scale.
    """
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = float("nan")
    if not scale[0] <= value <= scale[1]:
        raise ValueError(
            f"{name} of {row['file']} is {row[name]!r}; give a number from {scale[0]:g} to {scale[1]:g} (--scale)"
        )
    return value


def assign_folds(themes: Sequence[str], column: str, table: Path = FOLDS) -> dict[str, int]:
    """The fold of every theme.

    Args:
        themes: of the photos.
        column: "judge" or "labeller": they are cut differently.
        table: CSV with columns theme, judge, labeller. Where it lacks one of the themes, all are assigned anew, in an
            order that looks random and depends on nothing but their names.

    Raises:
        ValueError: fewer themes than folds.
    """
    with table.open(newline="", encoding="utf-8") as lines:
        fixed = {row["theme"]: int(row[column]) for row in csv.DictReader(lines)}
    if set(themes) <= set(fixed):
        return fixed
    if len(set(themes)) < FOLD_COUNT:
        raise ValueError(f"the photos have {len(set(themes))} themes; give at least {FOLD_COUNT} (column theme)")
    dealt = sorted(set(themes), key=lambda theme: hashlib.sha256(f"{column} {theme}".encode()).digest())
    return {theme: number % FOLD_COUNT for number, theme in enumerate(dealt)}


def extract_features(backbone: PictureFeatures, folder: Path, files: Sequence[str], soft: bool = False) -> F32:
    """Extracts the features (N, D) of the centre square of every photo, with progress on standard error.

    Args:
        backbone: makes the features.
        folder: of the photos.
        files: names in it.
        soft: blur them first, about as much as the embedded engine does.

    Raises:
        OSError: a photo cannot be read.
    """
    from tqdm import tqdm  # of the extra "train"

    label = "softened photos" if soft else "photos"
    return backbone.extract(tqdm(open_photos(folder, files, soft), label, len(files), unit="photo", mininterval=5))


def open_photos(folder: Path, files: Sequence[str], soft: bool) -> Iterator[NDArray[np.uint8]]:
    """Opens photos as centre squares of SIZE_PX."""
    for file, side in zip(files, cycle(SOFT_PX), strict=False):
        with Image.open(folder / file) as photo:
            whole = ImageOps.fit(photo.convert("RGB"), (SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)
        yield soften(whole, side) if soft else np.asarray(whole)


def soften(picture: Image.Image, side: int) -> NDArray[np.uint8]:
    """Takes the fine detail away: down to `side` pixels and up again."""
    small = picture.resize((side, side), Image.Resampling.BOX)
    return np.asarray(small.resize(picture.size, Image.Resampling.BICUBIC))
