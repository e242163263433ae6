from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.translator.catalogue import EMBEDDED
from services.translator.lexicon import load_lexicon
from training.translator.build_concepts import parse_theme
from training.translator.judge.photos import FOLD_COUNT, FOLDS, assign_folds, open_photos, read_photos

HEAD = "file,theme,category,source,valence_mean,arousal_mean\n"


def test_photos_are_read_with_their_theme_scale_and_kind(tmp_path: Path) -> None:
    rows = (
        "Dog_1.jpg,Dog 1,Animal,Pixabay,7,4\nBoy_2.jpg,Boy 2,Person,Pixabay,1,2.5\nSun_3.jpg,Sun 3,Scene,Other,4,5.5\n"
    )
    (tmp_path / "oasis.csv").write_text(HEAD + rows)
    photos = read_photos(tmp_path / "oasis.csv")
    assert photos.themes == ("dog", "boy", "sun")
    assert photos.ratings.tolist() == [[0, 1], [-0.5, -1], [0.5, 0]]
    assert photos.impersonal.tolist() == [True, False, False]


def test_photos_of_ones_own_need_no_more_than_file_and_ratings(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("file,arousal_mean,valence_mean\ncat 12.png,0,100\n", encoding="utf-8-sig")
    photos = read_photos(tmp_path / "own.csv", (0, 100))
    assert photos.themes == ("cat",)
    assert photos.ratings.tolist() == [[-1, 1]]
    assert photos.impersonal.tolist() == [False]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,arousal_mean\na.jpg,4\n", "lacks valence_mean; give file, arousal_mean, valence_mean"),
        ("", "lacks arousal_mean, file, valence_mean"),
        ("file,arousal_mean,valence_mean\na.jpg,4,8\n", r"valence_mean of a.jpg is '8'; give a number from 1 to 7"),
        ("file,arousal_mean,valence_mean\na.jpg,,4\n", "arousal_mean of a.jpg is ''; give a number from 1 to 7"),
    ],
)
def test_a_table_that_cannot_be_used_says_what_to_give(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "own.csv").write_text(table)
    with pytest.raises(ValueError, match=message):
        read_photos(tmp_path / "own.csv")


@pytest.mark.parametrize("reader", ["judge", "labeller"])
def test_the_committed_folds_cover_every_theme_that_people_rated_evenly(reader: str) -> None:
    lexicon = load_lexicon(EMBEDDED / "canvas_concepts.json")
    rated = [theme for theme, by_people in zip(lexicon.themes, lexicon.by_people, strict=True) if by_people]
    assert len(rated) == 203
    folds = assign_folds(rated, reader)
    assert FOLDS.read_text(encoding="utf-8").count("\n") == len(folds) + 1
    assert all(theme == parse_theme(theme) for theme in folds)
    counts = np.bincount(list(folds.values()), minlength=FOLD_COUNT)
    assert len(counts) == FOLD_COUNT
    assert counts.max() - counts.min() <= 1


def test_judge_and_labeller_are_cut_differently() -> None:
    own = [f"motif {number}" for number in range(25)]
    for themes in ([], own):
        assert assign_folds(themes, "judge") != assign_folds(themes, "labeller")


def test_themes_that_no_table_knows_are_dealt_evenly_in_whatever_order_they_come() -> None:
    own = [f"motif {number}" for number in range(25)]
    folds = assign_folds(own, "judge")
    assert folds == assign_folds(own[::-1], "judge")
    assert sorted(np.bincount(list(folds.values()))) == [2] * 5 + [3] * 5


def test_fewer_themes_than_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="have 3 themes; give at least 10"):
        assign_folds(["a", "b", "c"], "judge")


def test_softening_takes_detail_and_leaves_the_whole(tmp_path: Path) -> None:
    detail = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(detail).save(tmp_path / "noise.png")
    ((sharp,), (soft,)) = (list(open_photos(tmp_path, ["noise.png"], soft)) for soft in (False, True))
    assert np.array_equal(sharp, detail)
    assert soft.shape == sharp.shape
    assert soft.std() < sharp.std() / 2
    assert soft.mean() == pytest.approx(sharp.mean(), abs=1)
