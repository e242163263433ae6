"""Ratings of pictures and songs, brought to one scale."""

from pathlib import Path

import numpy as np
import pytest

from training.ratings import RatedPicture, name_raters, read_rated_pictures, standardise


def write(folder: Path, ratings: str) -> tuple[Path, Path]:
    (folder / "anchors.csv").write_text("file,concept\nb.jpg,lake\na.jpg,dog\n")
    (folder / "ratings.csv").write_text(f"file,arousal_mean,valence_mean\n{ratings}")
    return folder / "anchors.csv", folder / "ratings.csv"


def test_pictures_come_in_the_order_of_the_anchors_on_a_scale_of_minus_one_to_one(tmp_path: Path) -> None:
    found = read_rated_pictures(*write(tmp_path, "a.jpg,1,7\nother.jpg,9,9\nb.jpg,5.5,4\n"))
    assert found == [RatedPicture("b.jpg", "lake", 0.5, 0.0), RatedPicture("a.jpg", "dog", -1.0, 1.0)]


@pytest.mark.parametrize(
    ("ratings", "said"),
    [
        ("a.jpg,4,4\n", r"b\.jpg has no row in ratings\.csv; add one with arousal_mean"),
        ("a.jpg,4,4\nb.jpg,8,4\n", r"a rating is 8\.0; ratings lie from 1 to 7"),
    ],
)
def test_missing_and_impossible_ratings_are_refused(ratings: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        read_rated_pictures(*write(tmp_path, ratings))


@pytest.mark.parametrize(
    ("raters", "said"), [(("people", "people"), "people"), (("model",), "model"), (("people", "model"), "mixed")]
)
def test_who_rated_is_people_a_model_or_both(raters: tuple[str, ...], said: str) -> None:
    assert name_raters(raters) == said


def test_standardised_columns_have_mean_zero_and_deviation_one() -> None:
    values = np.random.default_rng(0).normal((1, -2), (3, 0.1), (50, 2))
    scaled = standardise(values)
    assert scaled.mean(0) == pytest.approx(0)
    assert scaled.std(0) == pytest.approx(1)
    assert standardise(np.ones((3, 2)), 1e-9).tolist() == [[0, 0]] * 3
