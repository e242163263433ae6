"""The tables beside an engine of one's own pictures: its concepts, for translators, and its pictures, for people."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.translator.lexicon import F32, F64, encode_distances
from training.generator.canvas.fields import FIELD_SIZE, measure_latents
from training.generator.own.folder import FoundPicture
from training.generator.own.ratings import Rating
from training.ratings import name_raters
from training.translator.read_concepts import unit_distances

__all__ = ["SOURCES", "UsedPicture", "build_own_table", "describe_ratings", "name_rater", "write_pictures"]

SOURCES: Mapping[str, str] = {  # where a rating comes from, and what is said of it
    "table": "by your table",
    "folder": "by the names of folders",
    "labeller": "by a model; nobody was asked",
}


@dataclass(frozen=True)
class UsedPicture:
    """A picture that an engine shows, and what is felt at it."""

    found: FoundPicture
    rating: Rating
    read: tuple[float, float]  # arousal, valence by the labeller
    focus: tuple[float, float]


def name_rater(used: Sequence[UsedPicture]) -> str:
    """Who rated: "people", "model" or "mixed"."""
    return name_raters(one.rating.rated_by for one in used)


def describe_ratings(used: Sequence[UsedPicture]) -> str:
    """How many pictures were rated in which way, as a sentence without its full stop."""
    counts = Counter(one.rating.source for one in used)
    return ", ".join(f"{counts[source]} {words}" for source, words in SOURCES.items() if counts[source])


def build_own_table(engine: str, used: Sequence[UsedPicture], thumbs: F32) -> dict[str, object]:
    """The table of concepts that translators read.

    Args:
        engine: name of the engine.
        used: its pictures, in the order of its concepts.
        thumbs: (K, 32, 40, 3), of the pictures.
    """
    concepts = [
        {
            "name": one.found.name,
            "theme": one.found.kind,
            "themes": list(one.found.themes),
            "rated_by": one.rating.rated_by,
            "arousal": round(one.rating.arousal, 3),
            "valence": round(one.rating.valence, 3),
            "read_arousal": round(one.read[0], 3),
            "read_valence": round(one.read[1], 3),
        }
        for one in used
    ]
    distances = encode_distances(_compare_looks(thumbs))
    source = f"Pictures of the user, rated: {describe_ratings(used)}."
    return {"engine": engine, "source": source, "distances": distances, "concepts": concepts}


def write_pictures(used: Sequence[UsedPicture], path: Path) -> None:
    """Writes the table of pictures, which can be changed and given back as a table of ratings."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "name", "theme", "arousal", "valence", "rated_by", "focus_x", "focus_y"])
        for one in used:
            felt = (round(one.rating.arousal, 4), round(one.rating.valence, 4))
            shown = (round(place, 3) for place in one.focus)
            theme = " ".join(one.found.themes[:1])
            writer.writerow([one.found.file, one.found.name, theme, *felt, one.rating.rated_by, *shown])


def _compare_looks(thumbs: F32) -> F64:
    """How unlike two pictures are, (K, K): the mean of their distances in the engine's space and in looks."""
    rows, columns = FIELD_SIZE
    looks = thumbs.reshape(len(thumbs), rows, 2, columns, 2, 3).mean(axis=(2, 4)).reshape(len(thumbs), -1)
    return np.asarray((unit_distances(measure_latents(thumbs)) + unit_distances(looks)) / 2)
