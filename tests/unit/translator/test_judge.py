from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.translator.catalogue import EMBEDDED
from services.translator.judge.model import BLOCKS, Judge, crop_square, load_judge, pair_index, save_judge
from services.translator.lexicon import F32
from training.translator.judge.evaluate import format_table, measure, measure_baseline
from training.translator.judge.photos import FOLD_COUNT, Photos
from training.translator.judge.train import READERS, PhotoFeatures, fit

THEMES = tuple(f"theme {number % 40}" for number in range(160))
FOLD_OF = {theme: number % FOLD_COUNT for number, theme in enumerate(dict.fromkeys(THEMES))}
SIZE = max(block.stop for block in BLOCKS.values())


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
def evidence(photos: Photos, features: F32) -> PhotoFeatures:
    noise = np.random.default_rng(3).normal(0, 0.3, features.shape)
    return PhotoFeatures(photos, features, (features + noise).astype(np.float32))


@pytest.fixture(scope="module")
def judge(evidence: PhotoFeatures) -> Judge:
    return fit(evidence, ("lite0.mean", "lite2.middle"), FOLD_OF)


def test_a_judge_reads_unseen_themes_where_features_tell(judge: Judge, photos: Photos, features: F32) -> None:
    report = measure(judge, features, photos)
    assert report["all"]["n"] == 160
    assert report["all"]["arousal"]["r"] > 0.9
    assert report["all"]["valence"]["r"] > 0.9
    assert report["pixabay_impersonal"]["n"] == photos.impersonal.sum()


def test_a_softened_photo_is_read_much_like_the_sharp_one(judge: Judge, evidence: PhotoFeatures) -> None:
    themes = [(theme,) for theme in evidence.photos.themes]
    gap = judge.read(evidence.soft, themes) - judge.read(evidence.sharp, themes)
    assert np.abs(gap).mean() < 0.1


def test_what_a_judge_reads_does_not_depend_on_ratings_of_the_themes_left_out(evidence: PhotoFeatures) -> None:
    photos, features = evidence.photos, evidence.sharp
    lies = photos.ratings.copy()
    hidden = np.array([FOLD_OF[theme] in (2, 5) for theme in photos.themes])
    lies[hidden] = -lies[hidden]
    honest = fit(evidence, ("lite0.spread",), FOLD_OF)
    deceived = fit(replace(evidence, photos=replace(photos, ratings=lies)), ("lite0.spread",), FOLD_OF)
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
    read, first = (each.read(features[:5], [["theme 3"]] * 5) for each in (again, judge))
    assert read == pytest.approx(first, abs=2e-3)  # coefficients are stored in 16 bits
    assert again.folds == judge.folds


def test_every_pair_of_folds_has_its_own_place() -> None:
    places = [pair_index(low, high, 10) for low in range(10) for high in range(low, 10)]
    assert places == list(range(55))


def test_a_picture_is_cut_to_its_centre_and_scaled() -> None:
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = 255
    assert crop_square(wide).shape == (256, 256, 3)
    assert crop_square(wide)[:, 10:-10].min() > 240


def test_judge_and_labeller_share_no_feature() -> None:
    assert not set(READERS["judge"]) & set(READERS["labeller"])
    for reader, blocks in READERS.items():
        assert load_judge(EMBEDDED / f"{reader}.npz").blocks == blocks


def test_the_report_is_one_line_for_each_reader_and_set(judge: Judge, photos: Photos, features: F32) -> None:
    report = {"judge": measure(judge, features, photos), "baseline": measure_baseline(features, photos)}
    head, *lines = format_table(report).splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["judge", "all", "160"],
        ["judge", "pixabay_impersonal", str(photos.impersonal.sum())],
        ["baseline", "all", "160"],
    ]
    assert len({len(line) for line in (head, *lines)}) == 1
