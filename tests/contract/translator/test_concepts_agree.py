"""The translator weighs concepts that the generator paints: same names, same order, same ratings."""

import csv
from pathlib import Path

from services.translator.catalogue import EMBEDDED
from services.translator.lexicon import load_lexicon

ANCHORS = Path(__file__).resolve().parents[3] / "training" / "generator" / "anchors.csv"


def test_the_translators_concepts_are_the_generators_anchors_in_their_order() -> None:
    with ANCHORS.open(newline="", encoding="utf-8") as lines:
        painted = tuple(row["concept"] for row in csv.DictReader(lines))
    assert load_lexicon(EMBEDDED / "morph_concepts.json").names == painted
