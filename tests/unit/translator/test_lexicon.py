import json
from pathlib import Path

import numpy as np
import pytest

from services.translator.catalogue import EMBEDDED
from services.translator.lexicon import Lexicon, load_lexicon


@pytest.fixture(scope="module")
def canvas() -> Lexicon:
    return load_lexicon(EMBEDDED / "canvas_concepts.json")


def table(*concepts: tuple[str, float, float]) -> str:
    rows = [{"name": name, "theme": name, "arousal": a, "valence": v} for name, a, v in concepts]
    return json.dumps({"engine": "toy", "concepts": rows})


def test_the_embedded_lexicon_covers_all_four_quadrants(canvas: Lexicon) -> None:
    quadrants, counts = np.unique(np.sign(canvas.ratings - [0, 0]), axis=0, return_counts=True)
    assert canvas.engine == "canvas"
    assert len(canvas.names) == len(set(canvas.names)) >= 100
    assert {tuple(q) for q in quadrants} >= {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    assert counts.min() >= 1


def test_kin_share_a_theme(canvas: Lexicon) -> None:
    theme = max(canvas.themes, key=canvas.themes.count)
    alike = [row for row, own in enumerate(canvas.themes) if own == theme]
    assert len(alike) > 1
    assert np.flatnonzero(canvas.kin == canvas.kin[alike[0]]).tolist() == alike


def test_a_concept_that_nobody_read_has_its_rating_for_a_reading(tmp_path: Path) -> None:
    concepts = json.loads(table(("a", 0.5, 0), ("b", -0.5, 0.2)))
    concepts["concepts"][1] |= {"read_arousal": -0.1, "read_valence": 0.3}
    (tmp_path / "toy_concepts.json").write_text(json.dumps(concepts))
    lexicon = load_lexicon(tmp_path / "toy_concepts.json")
    assert lexicon.readings.tolist() == [[0.5, 0], [-0.1, 0.3]]
    assert lexicon.ratings.tolist() == [[0.5, 0], [-0.5, 0.2]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table(("a", 0, 0)), "at least 2"),
        (table(("a", 0, 0), ("a", 1, 1)), "each once"),
        (table(("a", 0, 0), ("b", 1.5, 0)), r"'b' \[1.5, 0.0\]; give values from -1 to 1"),
        (table(("a", 0, 0), ("b", float("nan"), 0)), "give values from -1 to 1"),
    ],
)
def test_a_broken_table_is_refused_with_the_rule_and_the_value(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(ValueError, match=said):
        load_lexicon(tmp_path / "table.json")
