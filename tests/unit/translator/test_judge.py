from pathlib import Path

import numpy as np
import pytest

from services.translator.build_concepts import theme_of
from services.translator.catalogue import EMBEDDED
from services.translator.judge import BLOCKS, Judge, load_judge, pair_index, save_judge, square
from services.translator.lexicon import F32, load_lexicon
from services.translator.train_judge import FOLD_COUNT, FOLDS, Photos, fit, measure, read_folds, read_photos

THEMES = tuple(f"theme {number % 40}" for number in range(160))
FOLD_OF = {theme: number % FOLD_COUNT for number, theme in enumerate(dict.fromkeys(THEMES))}
SIZE = BLOCKS["maximum"].stop


@pytest.fixture(scope="module")
def photos() -> Photos:
    rng = np.random.default_rng(1)
    return Photos(
        files=tuple(f"{row}.jpg" for row in range(160)),
        themes=THEMES,
        ratings=rng.uniform(-0.7, 0.7, (160, 2)),
        impersonal=rng.random(160) < 0.5,
    )


@pytest.fixture(scope="module")
def features(photos: Photos) -> F32:
    """Features in which the ratings can be seen, under noise."""
    rng = np.random.default_rng(2)
    seen = photos.ratings @ rng.normal(0, 1, (2, SIZE))
    return (seen + rng.normal(0, 0.5, seen.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def judge(photos: Photos, features: F32) -> Judge:
    return fit(features, photos, ("mean", "middle"), FOLD_OF)


def test_a_judge_reads_unseen_themes_where_features_tell(judge: Judge, photos: Photos, features: F32) -> None:
    report = measure(judge, features, photos)["all"]
    assert report["n"] == 160  # type: ignore[index]
    assert report["arousal"]["r"] > 0.9  # type: ignore[index]
    assert report["valence"]["r"] > 0.9  # type: ignore[index]


def test_what_a_judge_reads_does_not_depend_on_ratings_of_the_themes_left_out(photos: Photos, features: F32) -> None:
    lies = photos.ratings.copy()
    hidden = np.array([FOLD_OF[theme] in (2, 5) for theme in photos.themes])
    lies[hidden] = -lies[hidden]
    honest = fit(features, photos, ("maximum",), FOLD_OF)
    deceived = fit(features, Photos(photos.files, photos.themes, lies, photos.impersonal), ("maximum",), FOLD_OF)
    pair = next([a, b] for a in FOLD_OF for b in FOLD_OF if (FOLD_OF[a], FOLD_OF[b]) == (5, 2))
    assert np.array_equal(honest.read(features[:4], [pair] * 4), deceived.read(features[:4], [pair] * 4))
    assert not np.allclose(honest.read(features[:4], [[]] * 4), deceived.read(features[:4], [[]] * 4))


def test_a_theme_unknown_to_the_folds_is_read_by_all_of_them(judge: Judge, features: F32) -> None:
    assert np.array_equal(judge.read(features[:1], [["dragon"]]), judge.read(features[:1], [[]]))


def test_a_picture_of_three_themes_cannot_be_read_unseen(judge: Judge, features: F32) -> None:
    with pytest.raises(ValueError, match="3 folds; the judge leaves out at most 2"):
        judge.read(features[:1], [["theme 0", "theme 1", "theme 2"]])


def test_a_saved_judge_reads_the_same(judge: Judge, features: F32, tmp_path: Path) -> None:
    save_judge(judge, tmp_path / "judge.npz")
    again = load_judge(tmp_path / "judge.npz")
    assert np.array_equal(again.read(features[:5], [["theme 3"]] * 5), judge.read(features[:5], [["theme 3"]] * 5))
    assert again.folds == judge.folds


def test_every_pair_of_folds_has_its_own_place() -> None:
    places = [pair_index(low, high, 10) for low in range(10) for high in range(low, 10)]
    assert places == list(range(55))


def test_a_picture_is_cut_to_its_centre_and_scaled() -> None:
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 255
    assert square(wide).shape == (256, 256, 3)
    assert square(wide)[:, 10:-10].min() > 240


def test_photos_are_read_with_their_theme_scale_and_kind(tmp_path: Path) -> None:
    head = "file,theme,category,source,valence_mean,arousal_mean\n"
    rows = (
        "Dog_1.jpg,Dog 1,Animal,Pixabay,7,4\nBoy_2.jpg,Boy 2,Person,Pixabay,1,2.5\nSun_3.jpg,Sun 3,Scene,Other,4,5.5\n"
    )
    (tmp_path / "oasis.csv").write_text(head + rows)
    photos = read_photos(tmp_path / "oasis.csv")
    assert photos.themes == ("dog", "boy", "sun")
    assert photos.ratings.tolist() == [[0, 1], [-0.5, -1], [0.5, 0]]
    assert photos.impersonal.tolist() == [True, False, False]


@pytest.mark.parametrize("reader", ["judge", "labeller"])
def test_the_committed_folds_cover_every_theme_of_the_engine_evenly(reader: str) -> None:
    folds = read_folds(FOLDS, reader)
    lexicon = load_lexicon(EMBEDDED / "morph_concepts.json")
    assert set(lexicon.themes) <= set(folds)
    assert all(theme == theme_of(theme) for theme in folds)
    counts = np.bincount(list(folds.values()), minlength=FOLD_COUNT)
    assert len(counts) == FOLD_COUNT
    assert counts.max() - counts.min() <= 1


def test_judge_and_labeller_are_cut_differently() -> None:
    assert read_folds(FOLDS, "judge") != read_folds(FOLDS, "labeller")
