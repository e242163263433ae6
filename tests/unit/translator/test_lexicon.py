import json
from pathlib import Path

import numpy as np
import pytest

from services.translator.catalogue import EMBEDDED
from services.translator.lexicon import PARTNER_FLOOR, PARTNER_LIMIT, Lexicon, load_lexicon


@pytest.fixture(scope="module")
def morph() -> Lexicon:
    return load_lexicon(EMBEDDED / "morph_concepts.json")


def table(*concepts: tuple[str, float, float]) -> str:
    rows = [{"name": name, "theme": name, "arousal": a, "valence": v} for name, a, v in concepts]
    return json.dumps({"engine": "toy", "concepts": rows})


def test_the_embedded_lexicon_covers_all_four_quadrants(morph: Lexicon) -> None:
    quadrants, counts = np.unique(np.sign(morph.ratings - [0, 0]), axis=0, return_counts=True)
    assert morph.engine == "morph"
    assert len(morph.names) == len(set(morph.names)) >= 100
    assert {tuple(q) for q in quadrants} >= {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    assert counts.min() >= 1


def test_a_blend_is_the_nearest_point_of_the_segment_that_a_partner_may_reach(morph: Lexicon) -> None:
    target = np.array([0.1, -0.2])
    shares, missed = morph.blends(target)
    grid = np.concatenate([[0.0], np.linspace(PARTNER_FLOOR, PARTNER_LIMIT, 400)])
    for main, partner in [(0, 1), (5, 90), (77, 3), (120, 121)]:
        points = morph.ratings[main] + grid[:, None] * (morph.ratings[partner] - morph.ratings[main])
        best = np.square(points - target).sum(-1)
        assert missed[main, partner] == pytest.approx(best.min(), abs=2e-3)
        assert shares[main, partner] == 0 or PARTNER_FLOOR <= shares[main, partner] <= PARTNER_LIMIT


def test_a_concept_is_no_partner_of_itself(morph: Lexicon) -> None:
    shares, _ = morph.blends(np.array([0.3, 0.3]))
    assert (np.diag(shares) == 0).all()


def test_kin_share_a_theme(morph: Lexicon) -> None:
    thunder = [row for row, theme in enumerate(morph.themes) if theme == "thunderstorm"]
    assert len(thunder) > 3
    assert morph.kin[np.ix_(thunder, thunder)].all()
    assert morph.kin[thunder[0]].sum() == len(thunder)


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
