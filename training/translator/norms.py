"""Sentiments of an engine's classes from word norms: the dictionary of the paper, built from the user's own copy.

Source: Passalis & Doropoulos (2021), section 3.3: the mean over the words of a class's name. Norms: Warriner, Kuperman
& Brysbaert (2013), Behavior Research Methods 45, 1191-1207; not free for every use, so never part of deepsing.
Differs: a class none of whose words has a norm takes the nearest broader term of WordNet that has one, and is never
left out without a word.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Norms", "WordNet", "read_class_names", "rate_classes", "read_norms"]

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
