import json
from pathlib import Path

import numpy as np
import pytest

from training.audio_sentiment.labels import LabelsError, assign_fold, read_labels

EMOTIONS = "amazement,solemnity,tenderness,nostalgia,calmness,power,joyful_activation,tension,sadness"


def folder(tmp_path: Path, table: str, *, curves: object = None) -> Path:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    (tmp_path / "labels.csv").write_text(table)
    if curves is not None:
        (tmp_path / "per_measure.json").write_text(json.dumps(curves))
    return tmp_path


def test_ratings_are_read_as_they_are(tmp_path: Path) -> None:
    (song,) = read_labels(folder(tmp_path, "file,valence,arousal,game\na.wav,-0.25,0.5,Zelda\n"))
    assert (song.arousal, song.valence, song.kind, song.group) == (0.5, -0.25, "rating", "Zelda")
    assert song.curve is None


@pytest.mark.parametrize(("quadrant", "expected"), [("1", (1, 1)), ("2", (1, -1)), ("3", (-1, -1)), ("4", (-1, 1))])
def test_quadrants_are_signs(quadrant: str, expected: tuple[int, int], tmp_path: Path) -> None:
    (song,) = read_labels(folder(tmp_path, f"file,quadrant,artist\na.wav,{quadrant},x\n"))
    assert (song.arousal, song.valence) == expected


def test_nine_felt_emotions_become_two_dimensions(tmp_path: Path) -> None:
    (song,) = read_labels(folder(tmp_path, f"file,{EMOTIONS}\na.wav,0.1,0,0.2,0,0.3,0.4,0.5,0.6,0.7\n"))
    assert song.arousal == pytest.approx((0.5 + 0.4 + 0.6 - 0.3 - 0.2 - 0.7) / 3)
    assert song.valence == pytest.approx((0.5 + 0.2 + 0.3 + 0.1 - 0.6 - 0.7) / 4)


def test_curves_beside_the_table_belong_to_their_songs(tmp_path: Path) -> None:
    curves = {"a.wav": {"valence": [0.1, 0.2], "arousal": [0.3, 0.4]}}
    table = "file,valence,arousal,duration_s\na.wav,0,0,61.5\nb.wav,0,0,\n"
    first, second = read_labels(folder(tmp_path, table, curves=curves))
    assert first.curve is not None
    np.testing.assert_array_equal(first.curve, [[0.3, 0.1], [0.4, 0.2]])
    assert (first.duration_s, second.curve, second.duration_s) == (61.5, None, 0.0)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,quadrant\n", "has no rows"),
        ("file,quadrant\nc.wav,1\n", "line 2: file is 'c.wav'"),
        ("file,quadrant\na.wav,5\n", "line 2: '5'"),
        ("file,valence,arousal\na.wav,0,7\n", "arousal, valence is"),
        ("file,mood\na.wav,happy\n", "the columns are file, mood"),
    ],
)
def test_bad_tables_are_told_by_line_and_rule(table: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=message):
        read_labels(folder(tmp_path, table))


def test_a_folder_without_a_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="missing"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    ("piece", "why"),
    [
        ({"valence": [1], "arousal": [1, 2]}, "inhomogeneous"),
        ({"valence": [1, 2]}, "KeyError"),
        ({"valence": ["x"], "arousal": [1]}, "could not convert"),
        ({"valence": [None], "arousal": [1]}, "other things than numbers"),
        ({"valence": [[1]], "arousal": [[1]]}, "other things than numbers"),
        ([1, 2], "TypeError"),
    ],
)
def test_a_curve_that_cannot_be_used_is_told_and_left_out(piece: object, why: str, tmp_path: Path) -> None:
    good = {"valence": [0.1, 0.2], "arousal": [0.3, 0.4]}
    place = folder(tmp_path, "file,quadrant\na.wav,1\nb.wav,2\n", curves={"a.wav": piece, "b.wav": good})
    with pytest.raises(LabelsError, match=why):
        read_labels(place)
    messages: list[str] = []
    first, second = read_labels(place, messages.append)
    assert first.curve is None
    assert second.curve is not None
    assert len(messages) == 1
    assert "a.wav" in messages[0]


@pytest.mark.parametrize("text", ["{", "[1]", "7"])
def test_a_file_of_curves_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    place = folder(tmp_path, "file,quadrant\na.wav,1\n")
    (place / "per_measure.json").write_text(text)
    with pytest.raises(LabelsError, match=r"per_measure\.json cannot be read"):
        read_labels(place)
    messages: list[str] = []
    assert len(read_labels(place, messages.append)) == len(messages) == 1


def test_folds_follow_from_the_name_alone() -> None:
    assert [assign_fold(name) for name in ("a1933eca5", "Banjo-Kazooie", "")] == [6, 2, 0]
    assert {assign_fold(f"artist {i}") for i in range(200)} == set(range(10))
