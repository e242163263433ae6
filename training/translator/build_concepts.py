"""Builds the table of rated concepts that the dictionary translator ships.

`python -m training.translator.build_concepts --pictures PICTURES.csv --out ENGINE_concepts.json`
For other pictures, in place of the first: `--anchors ANCHORS.csv --oasis RATINGS.csv`; for an engine of named classes:
`--classes CLASSES --norms WORDNORMS.csv [--wordnet FOLDER]`

Source: for classes, Passalis & Doropoulos (2021), section 3.3: the mean over the words of a class's name. Norms:
Warriner, Kuperman & Brysbaert (2013), Behavior Research Methods 45, 1191-1207; not free for every use, so never part of
deepsing. Differs: a class none of whose words has a norm takes the nearest broader term of WordNet that has one, and is
listed as unknown where there is none.
"""

import argparse
import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.generator.pictures import Picture, load_pictures
from training.ratings import read_rated_pictures

__all__ = [
    "build_class_table",
    "build_picture_table",
    "build_table",
    "main",
    "parse_theme",
    "write_table",
    "Norms",
    "WordNet",
    "read_class_names",
    "rate_classes",
    "read_norms",
]

SOURCE = (
    "Sentiments are mean ratings of the Open Affective Standardized Image Set (OASIS): Kurdi, Lozano & Banaji (2017), "
    "Introducing the Open Affective Standardized Image Set, Behavior Research Methods 49, 457-470; "
    "(mean - 4) / 3, rounded to three decimals."
)
PICTURES_SOURCE = (
    "Where rated_by is people, sentiments are mean ratings of the Open Affective Standardized Image Set (OASIS): "
    "Kurdi, Lozano & Banaji (2017), Behavior Research Methods 49, 457-470; (mean - 4) / 3. Where it is model, nobody "
    "was asked: they are readings of the labeller of this project, brought to the scale of those ratings by "
    "training.generator.rate_pictures."
)
RATED_SET = "oasis/"  # begins the files of the rated photos, whose themes the readers know
MANNER = "paintings"  # a theme that says how something is shown, not what
WORDS_SOURCE = (
    "Sentiments are means of norms of the words of each name (Warriner, Kuperman & Brysbaert 2013, Behavior Research "
    "Methods 45, 1191-1207, from the user's copy; (mean - 5) / 4). The norms' terms hold for this table: keep it."
)


def parse_theme(name: str) -> str:
    """Theme of an OASIS picture or file without its number: 'Dog 4' and 'Dog_1.jpg' are both 'dog'."""
    return Path(name).stem.replace("_", " ").rstrip("0123456789 ").lower()


def build_table(anchors: Path, oasis: Path, engine: str) -> dict[str, object]:
    """Joins an engine's anchors with their ratings.

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


def build_picture_table(pictures: Sequence[Picture], engine: str) -> dict[str, object]:
    """The table of the pictures that an engine shows, in their order.

    A concept's `theme` is its kind: readers leave out what they learned from rated photos of it, and the dictionary
    counts it as shown when another of its kind was. For a rated photo that is its theme in OASIS, for others, which no
    reader knows, what it shows (the sea, not a painting). `themes` are what people choose by.

    Args:
        pictures: from `load_pictures`.
        engine: name of the engine.
    """
    concepts = [
        {
            "name": picture.name,
            "theme": _find_kind(picture),
            "themes": list(picture.themes),
            "rated_by": picture.rated_by,
            "arousal": round(picture.arousal, 3),
            "valence": round(picture.valence, 3),
        }
        for picture in pictures
    ]
    return {"engine": engine, "source": PICTURES_SOURCE, "concepts": concepts}


def _find_kind(picture: Picture) -> str:
    if picture.file.startswith(RATED_SET):
        return parse_theme(picture.file)
    return next((theme for theme in picture.themes if theme != MANNER), MANNER)


def build_class_table(names: list[str], norms: "Norms", wordnet: "WordNet | None", engine: str) -> dict[str, object]:
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


NEUTRAL, HALF_RANGE = 5.0, 4.0  # the norms' scale is 1..9
COLUMNS = {"word": "Word", "arousal": "A.Mean.Sum", "valence": "V.Mean.Sum"}
BROADER = "@"  # WordNet's mark of a pointer to a broader term
Norms = Mapping[str, tuple[float, float]]  # word, lower case → arousal and valence in -1..1


def read_norms(path: Path) -> dict[str, tuple[float, float]]:
    """Reads word norms.

    Args:
        path: CSV with columns Word, V.Mean.Sum and A.Mean.Sum, 1..9, as Warriner's; further columns do not matter.

    Raises:
        ValueError: a column is missing, or a value is not from 1 to 9.
    """
    with path.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.DictReader(lines)
        missing = sorted(set(COLUMNS.values()) - set(rows.fieldnames or ()))
        if missing:
            raise ValueError(f"{path.name} has no column {missing[0]}; give {', '.join(COLUMNS.values())}")
        norms = {}
        for row in rows:
            felt = tuple((float(row[COLUMNS[name]]) - NEUTRAL) / HALF_RANGE for name in ("arousal", "valence"))
            if not all(-1 <= value <= 1 for value in felt):  # NaN is wrong, too
                raise ValueError(f"{path.name} rates {row[COLUMNS['word']]!r} outside 1 to 9; give means on that scale")
            norms[row[COLUMNS["word"]].strip().lower()] = (felt[0], felt[1])
    return norms


def read_class_names(path: Path) -> list[str]:
    """Names of classes: the column `concept` of a CSV, or else one name a line, in the order of the engine."""
    with path.open(newline="", encoding="utf-8") as lines:
        if path.suffix == ".csv":
            return [row["concept"] for row in csv.DictReader(lines)]
        return [line.strip() for line in lines if line.strip()]


class WordNet:
    """Broader terms of nouns, from the files index.noun and data.noun of WordNet 3 (Debian: wordnet-base).

    Args:
        folder: holds both files.
    """

    def __init__(self, folder: Path) -> None:
        self._data = (folder / "data.noun").read_bytes()
        self._senses: dict[str, list[int]] = {}
        for line in (folder / "index.noun").read_text(encoding="utf-8").splitlines():
            if not line.startswith(" "):  # the licence
                lemma, _, _, pointers, *rest = line.split()
                self._senses[lemma] = [int(place) for place in rest[int(pointers) + 2 :]]

    def broader_terms(self, name: str) -> list[list[str]]:
        """Names of each broader term of a noun's first sense, the nearest first; none for an unknown noun."""
        senses = self._senses.get(name.lower().replace(" ", "_"))
        terms = []
        place = self._broader_place(senses[0]) if senses else None
        while place is not None:
            terms.append([word.replace("_", " ") for word in self._words(self._fields(place))])
            place = self._broader_place(place)
        return terms

    def _fields(self, place: int) -> list[str]:
        return self._data[place : self._data.index(b"\n", place)].decode("utf-8").split(" | ")[0].split()

    @staticmethod
    def _words(fields: list[str]) -> list[str]:
        return fields[4 : 4 + 2 * int(fields[3], 16) : 2]

    def _broader_place(self, place: int) -> int | None:
        """Place of the first broader term."""
        fields = self._fields(place)
        first = 5 + 2 * int(fields[3], 16)
        pointers = fields[first : first + 4 * int(fields[first - 1])]
        found = [int(pointers[at + 1]) for at in range(0, len(pointers), 4) if pointers[at] == BROADER]
        return found[0] if found else None


def rate_classes(names: list[str], norms: Norms, wordnet: WordNet | None) -> dict[str, tuple[float, float] | None]:
    """What people feel at the words of each class: name → arousal and valence, or None where no word is known.

    A name may hold synonyms, with commas between. A whole name that has a norm goes before its words; where neither
    does, its first synonym's broader terms are asked, or those of that synonym's last word ("tabby cat": "cat").
    """
    return {name: _rate_class(name, norms, wordnet) for name in names}


def _rate_class(name: str, norms: Norms, wordnet: WordNet | None) -> tuple[float, float] | None:
    synonyms = [each.strip() for each in re.sub(r"\(.*?\)", "", name).split(",") if each.strip()]
    felt = _mean(synonyms, norms)
    if felt is None and wordnet is not None and synonyms:
        terms = wordnet.broader_terms(synonyms[0]) or wordnet.broader_terms(synonyms[0].split()[-1])
        felt = next((mean for mean in (_mean(term, norms) for term in terms) if mean is not None), None)
    return felt


def _mean(synonyms: list[str], norms: Norms) -> tuple[float, float] | None:
    """Mean over all words of names that have a norm."""
    found = []
    for synonym in synonyms:
        whole = synonym.lower()
        words = [whole] if whole in norms else re.findall(r"[a-z]+", whole)
        found += [norms[word] for word in words if word in norms]
    if not found:
        return None
    return sum(a for a, _ in found) / len(found), sum(v for _, v in found) / len(found)


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
    parser.add_argument("--pictures", type=Path, help="CSV of training.generator.pictures: names, themes, sentiments")
    parser.add_argument("--anchors", type=Path, help="CSV with columns file, concept; goes with --oasis")
    parser.add_argument("--oasis", type=Path, help="CSV with the ratings of every file")
    parser.add_argument("--classes", type=Path, help="CSV with column concept, or a name a line; goes with --norms")
    parser.add_argument("--norms", type=Path, help="your copy of the word norms: CSV with Word, V.Mean.Sum, A.Mean.Sum")
    parser.add_argument("--wordnet", type=Path, help="folder of index.noun and data.noun, for names without a norm")
    parser.add_argument("--engine-name", help="default: what the table's name says, ENGINE_concepts.json")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    options = parser.parse_args(arguments)
    engine = options.engine_name or options.out.stem.removesuffix("_concepts")
    if options.pictures:
        table = build_picture_table(load_pictures(options.pictures), engine)
    elif options.anchors and options.oasis:
        table = build_table(options.anchors, options.oasis, engine)
    elif options.classes and options.norms:
        names, wordnet = read_class_names(options.classes), WordNet(options.wordnet) if options.wordnet else None
        table = build_class_table(names, read_norms(options.norms), wordnet, engine)
    else:
        parser.error("give --pictures, or --anchors and --oasis, or --classes and --norms")
    write_table(table, options.out)


if __name__ == "__main__":
    main()
