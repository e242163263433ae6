"""What people felt, brought to one scale: tables of rated pictures, and standardised ratings."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.generator.concepts import from_rating

__all__ = ["RatedPicture", "name_raters", "read_rated_pictures", "standardise"]

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class RatedPicture:
    """A picture, the concept that it shows, and what people felt at it, each value in [-1, 1]."""

    file: str
    concept: str
    arousal: float
    valence: float


def read_rated_pictures(anchors: Path, ratings: Path) -> list[RatedPicture]:
    """Joins the anchors of an engine with people's ratings of them.

    Args:
        anchors: CSV with the columns file and concept, in the order of the engine's concepts.
        ratings: CSV with the columns file, arousal_mean and valence_mean, on a scale of 1 to 7.

    Raises:
        ValueError: an anchor has no rating, or one that is not from 1 to 7.
    """
    with ratings.open(newline="", encoding="utf-8") as lines:
        rated = {row["file"]: row for row in csv.DictReader(lines)}
    with anchors.open(newline="", encoding="utf-8") as lines:
        chosen = [(row["file"], row["concept"]) for row in csv.DictReader(lines)]
    missing = [file for file, _ in chosen if file not in rated]
    if missing:
        raise ValueError(f"{missing[0]} has no row in {ratings.name}; add one with arousal_mean and valence_mean")
    return [
        RatedPicture(
            file,
            concept,
            from_rating(float(rated[file]["arousal_mean"])),
            from_rating(float(rated[file]["valence_mean"])),
        )
        for file, concept in chosen
    ]


def name_raters(raters: Iterable[str]) -> str:
    """What an engine says of itself whose concepts were rated by these: "people", "model" or "mixed"."""
    found = set(raters)
    return found.pop() if len(found) == 1 else "mixed"


def standardise(values: F64, floor: float = 0.0) -> F64:
    """Brings (n, d) to zero mean and unit deviation, column by column.

    Args:
        values: (n, d).
        floor: is added to the deviations, for columns that may not vary.
    """
    return np.asarray((values - values.mean(axis=0)) / (values.std(axis=0) + floor))
