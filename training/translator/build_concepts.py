"""Builds the table of rated concepts that the dictionary translator ships.

`python -m training.translator.build_concepts --anchors ANCHORS.csv --oasis OASIS.csv --out ENGINE_concepts.json`
For an engine of named classes, in place of the first two: `--classes CLASSES --norms WORDNORMS.csv [--wordnet FOLDER]`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from training.ratings import read_rated_pictures
from training.translator.norms import Norms, WordNet, rate_classes, read_class_names, read_norms

__all__ = ["build_class_table", "build_table", "main", "parse_theme", "write_table"]

SOURCE = (
    "Sentiments are mean ratings of the Open Affective Standardized Image Set (OASIS): Kurdi, Lozano & Banaji (2017), "
    "Introducing the Open Affective Standardized Image Set, Behavior Research Methods 49, 457-470; "
    "(mean - 4) / 3, rounded to three decimals."
)
WORDS_SOURCE = (
    "Sentiments are means of norms of the words of each name (Warriner, Kuperman & Brysbaert 2013, Behavior Research "
    "Methods 45, 1191-1207, from the user's copy; (mean - 5) / 4). The norms' terms hold for this table: keep it."
)


def parse_theme(name: str) -> str:
    """Theme of an OASIS picture or file without its number: 'Dog 4' and 'Dog_1.jpg' are both 'dog'."""
    return Path(name).stem.replace("_", " ").rstrip("0123456789 ").lower()


def build_table(anchors: Path, oasis: Path, engine: str) -> dict[str, object]:
    """Joins an engine's anchors with their human ratings.

    Args:
        anchors: CSV with columns file, concept, in the order of the engine's concepts.
        oasis: CSV with columns file, arousal_mean, valence_mean on the scale 1..7.
        engine: name of the engine.

    Raises:
        ValueError: an anchor has no ratings, or one that is not from 1 to 7.
    """
    concepts = [
        {
            "name": picture.concept,
            "theme": parse_theme(picture.file),
            "arousal": round(picture.arousal, 3),
            "valence": round(picture.valence, 3),
        }
        for picture in read_rated_pictures(anchors, oasis)
    ]
    return {"engine": engine, "source": SOURCE, "concepts": concepts}


def build_class_table(names: list[str], norms: Norms, wordnet: WordNet | None, engine: str) -> dict[str, object]:
    """Rates classes by word norms; kin share their last word ("tabby cat", "tiger cat").

    A class without any known word gets the mean of the others, and is named under `unknown`.

    Raises:
        ValueError: no class has a known word.
    """
    rated = rate_classes(names, norms, wordnet)
    known = [felt for felt in rated.values() if felt is not None]
    if not known:
        raise ValueError(f"none of {len(names)} classes has a word with a norm; give English names and norms of words")
    typical = (sum(a for a, _ in known) / len(known), sum(v for _, v in known) / len(known))
    concepts = []
    for name, felt in rated.items():
        arousal, valence = felt or typical
        theme = name.split(",")[0].split("(")[0].split()[-1].lower()
        concepts.append({"name": name, "theme": theme, "arousal": round(arousal, 3), "valence": round(valence, 3)})
    unknown = [name for name, felt in rated.items() if felt is None]
    return {"engine": engine, "source": WORDS_SOURCE, "unknown": unknown, "concepts": concepts}


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
    parser.add_argument("--anchors", type=Path, help="CSV with columns file, concept; goes with --oasis")
    parser.add_argument("--oasis", type=Path, help="CSV with the ratings of every file")
    parser.add_argument("--classes", type=Path, help="CSV with column concept, or a name a line; goes with --norms")
    parser.add_argument("--norms", type=Path, help="your copy of the word norms: CSV with Word, V.Mean.Sum, A.Mean.Sum")
    parser.add_argument("--wordnet", type=Path, help="folder of index.noun and data.noun, for names without a norm")
    parser.add_argument("--engine-name", help="default: what the table's name says, ENGINE_concepts.json")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    options = parser.parse_args(arguments)
    engine = options.engine_name or options.out.stem.removesuffix("_concepts")
    if options.anchors and options.oasis:
        table = build_table(options.anchors, options.oasis, engine)
    elif options.classes and options.norms:
        names, wordnet = read_class_names(options.classes), WordNet(options.wordnet) if options.wordnet else None
        table = build_class_table(names, read_norms(options.norms), wordnet, engine)
    else:
        parser.error("give --anchors and --oasis, or --classes and --norms")
    write_table(table, options.out)


if __name__ == "__main__":
    main()
