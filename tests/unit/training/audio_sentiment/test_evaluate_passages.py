import json
from pathlib import Path

import pytest

from services.audio_sentiment.analyser import Point
from services.audio_sentiment.readers import Reading
from tests.unit.training.audio_sentiment.test_medleys import SIGNS, songs, write_wav
from training.audio_sentiment.evaluate_passages import (
    ReadMedley,
    main,
    measure_boundaries,
    measure_certainty,
    measure_sections,
    measure_signs,
)
from training.audio_sentiment.medleys import Medley, Part

TYPICAL = (0.1, -0.1)


def read_with_lag(lag_s: float, sure: float = 0.9) -> ReadMedley:
    """A medley A B A D, 20 s each, by a reader that follows every cut lag_s late."""
    chosen = songs(4)
    order = (0, 2, 0, 3)
    parts = tuple(Part(chosen[k], 0.0, 20.0, "ABAD"[place]) for place, k in enumerate(order))
    points = []
    for index in range(160):
        part = max(0, min(3, int((index * 0.5 - lag_s) // 20)))
        arousal, valence = SIGNS[order[part]]
        reading = Reading(0.1 + 0.3 * arousal, -0.1 + 0.3 * valence, part, (0, 1, 0, 2)[part], (sure, sure))
        points.append(Point(index * 500_000, reading, 0.5, 0.1))
    return ReadMedley(Medley(parts), points)


def test_a_reader_that_follows_at_once_is_always_right() -> None:
    table = measure_signs([read_with_lag(0.0)] * 2, TYPICAL)
    assert {(row["arousal"], row["valence"]) for row in table.values()} == {(1.0, 1.0)}
    assert [row["n"] for row in table.values()] == [60, 60, 60, 120, 240]


def test_a_reader_that_follows_six_seconds_late_is_wrong_so_long() -> None:
    table = measure_signs([read_with_lag(6.0)], TYPICAL)
    assert table["first part, after 5 s"]["arousal"] == 1.0
    # Arousal: high, low, high, low. Valence: high, low, high, high, so the last cut does not show.
    assert table["0-5 s after a cut"] | {"intervals": None} == {
        "arousal": 0.0,
        "valence": pytest.approx(1 / 3),
        "intervals": None,
        "n": 30,
    }
    assert table["5-10 s"]["arousal"] == pytest.approx(0.8)
    assert table["5-10 s"]["valence"] == pytest.approx(1 - 0.2 * 2 / 3)
    assert table["10-25 s"]["valence"] == 1.0
    assert table["all later parts"]["arousal"] == pytest.approx(1 - 6 / 20)


@pytest.mark.parametrize(("lag_s", "f"), [(0.0, 1.0), (3.0, 1.0), (3.5, 0.0)])
def test_cuts_count_as_found_within_three_seconds(lag_s: float, f: float) -> None:
    found = measure_boundaries([read_with_lag(lag_s)])
    assert (found["f"], found["precision"], found["recall"], found["n"]) == (f, f, f, 3)


def test_sections_are_compared_pair_by_pair() -> None:
    exact, late = (measure_sections([read_with_lag(lag_s)]) for lag_s in (0.0, 6.0))
    assert (exact["precision"], exact["recall"]) == (1.0, 1.0)
    assert 0.5 < late["f"] < 0.9


def test_certainty_is_compared_with_how_often_the_reading_is_right() -> None:
    rows = measure_certainty([read_with_lag(6.0, sure=0.85)], TYPICAL)
    assert [(row["dimension"], row["n"]) for row in rows] == [("arousal", 160), ("valence", 160)]
    assert rows[0]["certainty"] == pytest.approx(0.85)
    assert rows[0]["right"] == pytest.approx(1 - 3 * 6 / 80)


def test_the_command_prints_a_table_of_each_hearing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["file,quadrant,artist"]
    for k in range(4):
        write_wav(tmp_path / f"{k}.wav", 30.1, 0.2 + 0.2 * k, k)
        rows.append(f"{k}.wav,{k + 1},artist {k}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert main(["--data", str(tmp_path), "--count", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["medleys"], answer["fade_s"]) == (1, 0.0)
    for hearing in ("live", "whole"):
        assert answer[hearing]["signs"]["all later parts"]["n"] == 150
        assert answer[hearing]["boundaries"]["n"] == 3
        assert 0 <= answer[hearing]["sections"]["f"] <= 1


def test_a_fade_longer_than_a_part_allows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--data", "nowhere", "--fade", "12"])
    assert "--fade is 12; choose 0 to 10 seconds" in capsys.readouterr().err


def test_a_folder_without_all_quadrants_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wav(tmp_path / "a.wav", 2.0, 0.5, 0)
    (tmp_path / "labels.csv").write_text("file,quadrant\na.wav,1\n", encoding="utf-8")
    assert main(["--data", str(tmp_path)]) == 2
    assert "a medley needs one of each quadrant" in " ".join(capsys.readouterr().err.split())
