"""Builds the table of rated concepts that the dictionary translator ships.

`python -m services.translator.build_concepts --anchors ANCHORS.csv --oasis OASIS.csv --out ENGINE_concepts.json`
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

__all__ = ["build_table", "main", "theme_of", "write_table"]

SOURCE = (
    "Sentiments are mean ratings of the Open Affective Standardized Image Set (OASIS): Kurdi, Lozano & Banaji (2017), "
    "Introducing the Open Affective Standardized Image Set, Behavior Research Methods 49, 457-470; "
    "(mean - 4) / 3, rounded to three decimals."
)
NEUTRAL, HALF_RANGE = 4.0, 3.0  # OASIS rates 1..7


def theme_of(name: str) -> str:
    """Theme of an OASIS picture or file without its number: 'Dog 4' and 'Dog_1.jpg' are both 'dog'."""
    return Path(name).stem.replace("_", " ").rstrip("0123456789 ").lower()


def build_table(anchors: Path, oasis: Path, engine: str) -> dict[str, object]:
    """Joins an engine's anchors with their human ratings.

    Args:
        anchors: CSV with columns file, concept, in the order of the engine's concepts.
        oasis: CSV with columns file, arousal_mean, valence_mean on the scale 1..7.
        engine: name of the engine.

    Raises:
        KeyError: an anchor has no ratings.
    """
    with oasis.open(newline="", encoding="utf-8") as lines:
        rated = {row["file"]: row for row in csv.DictReader(lines)}
    with anchors.open(newline="", encoding="utf-8") as lines:
        chosen = [(row["concept"], row["file"]) for row in csv.DictReader(lines)]
    concepts = [
        {
            "name": name,
            "theme": theme_of(file),
            "arousal": round((float(rated[file]["arousal_mean"]) - NEUTRAL) / HALF_RANGE, 3),
            "valence": round((float(rated[file]["valence_mean"]) - NEUTRAL) / HALF_RANGE, 3),
        }
        for name, file in chosen
    ]
    return {"engine": engine, "source": SOURCE, "concepts": concepts}


def write_table(table: dict[str, object], out: Path) -> None:
    """Writes a table with one concept a line, so that a changed rating shows as one changed line."""
    concepts = table["concepts"]
    assert isinstance(concepts, list)
    lines = ",\n".join(f"  {json.dumps(concept, ensure_ascii=False)}" for concept in concepts)
    head = ",\n".join(f" {json.dumps(key)}: {json.dumps(table[key])}" for key in table if key != "concepts")
    out.write_text(f'{{\n{head},\n "concepts": [\n{lines}\n ]\n}}\n', encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anchors", type=Path, required=True, help="CSV with columns file, concept")
    parser.add_argument("--oasis", type=Path, required=True, help="CSV with the ratings of every file")
    parser.add_argument("--engine-name", help="default: what the table's name says, ENGINE_concepts.json")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    options = parser.parse_args(arguments)
    engine = options.engine_name or options.out.stem.removesuffix("_concepts")
    write_table(build_table(options.anchors, options.oasis, engine), options.out)


if __name__ == "__main__":
    main()
