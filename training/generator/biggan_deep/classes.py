"""The classes of ImageNet as concepts: their names, and what people feel at them where a table says so."""

from __future__ import annotations

import csv
from pathlib import Path

from services.generator.concepts import Concept

__all__ = ["CLASSES", "read_classes"]

CLASSES = Path(__file__).parent / "imagenet_classes.csv"  # in the order of class numbers
COLUMNS = ("concept", "arousal", "valence")


def read_classes(sentiments: Path | None, classes: Path = CLASSES) -> list[Concept]:
    """Reads the names of all classes, and joins sentiments to them.

    Args:
        sentiments: CSV with columns concept, arousal, valence, the latter in [-1, 1]; classes it does not name, and
            all classes without it, are neutral (0, 0), which means that nothing is known.
        classes: CSV with a column concept, one row a class, in the order of class numbers.

    Raises:
        ValueError: a row of the sentiments names no class, or holds no sentiment.
    """
    with classes.open(newline="", encoding="utf-8") as lines:
        felt = {row["concept"]: (0.0, 0.0) for row in csv.DictReader(lines)}
    if sentiments is not None:
        with sentiments.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{sentiments.name} has no column {missing[0]}; give {', '.join(COLUMNS)}")
            for number, row in enumerate(reader, start=2):
                felt |= _parse_sentiment(row, felt, f"{sentiments.name} line {number}")
    return [Concept(name, *values) for name, values in felt.items()]


def _parse_sentiment(
    row: dict[str, str], known: dict[str, tuple[float, float]], where: str
) -> dict[str, tuple[float, float]]:
    name = row["concept"]
    if name not in known:
        raise ValueError(f"{where} names {name!r}, which is no class; take the names of {CLASSES.name}")
    try:
        values = float(row["arousal"]), float(row["valence"])
    except (TypeError, ValueError):
        values = (float("nan"), float("nan"))
    if not all(abs(value) <= 1 for value in values):
        raise ValueError(f"{where} holds ({row['arousal']}, {row['valence']}); give arousal and valence from -1 to 1")
    return {name: values}
