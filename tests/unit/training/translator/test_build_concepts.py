from pathlib import Path

import pytest

from services.translator.lexicon import load_lexicon
from training.translator.build_concepts import main, parse_theme

ANCHORS = "file,concept\nDog_1.jpg,puppy\nLake_12.jpg,misty lake\n"
OASIS = "file,arousal_mean,valence_mean\nLake_12.jpg,2.5,6.4\nDog_1.jpg,5.5,7\nCat_1.jpg,1,1\n"


def build(folder: Path, anchors: str) -> Path:
    (folder / "anchors.csv").write_text(anchors)
    (folder / "oasis.csv").write_text(OASIS)
    out = folder / "table.json"
    options = {"--anchors": folder / "anchors.csv", "--oasis": folder / "oasis.csv", "--out": out, "--engine": "toy"}
    main([str(part) for pair in options.items() for part in pair])
    return out


def test_ratings_move_from_one_to_seven_to_minus_one_to_one_in_the_order_of_the_anchors(tmp_path: Path) -> None:
    lexicon = load_lexicon(build(tmp_path, ANCHORS))
    assert lexicon.engine == "toy"
    assert lexicon.names == ("puppy", "misty lake")
    assert lexicon.themes == ("dog", "lake")
    assert lexicon.ratings.tolist() == [[0.5, 1.0], [-0.5, 0.8]]


def test_an_anchor_without_ratings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Owl_1\.jpg"):
        build(tmp_path, ANCHORS + "Owl_1.jpg,owl\n")


@pytest.mark.parametrize(
    ("name", "theme"),
    [("Dog 4", "dog"), ("Dog_1.jpg", "dog"), ("Neutral_pose_2.jpg", "neutral pose"), ("Sun 10", "sun")],
)
def test_a_theme_is_the_name_without_its_number(name: str, theme: str) -> None:
    assert parse_theme(name) == theme
