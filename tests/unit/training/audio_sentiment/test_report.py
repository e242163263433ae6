from pathlib import Path

import numpy as np
import pytest

from training.audio_sentiment.labels import RatedSong
from training.audio_sentiment.report import RATER_LAG_S, Reading, format_table, pool_collections, quadrant_f1, report

COURSE = np.zeros((4, 2))


def song(arousal: float, valence: float, **more: object) -> RatedSong:
    return RatedSong(Path("x"), arousal, valence, str(more.pop("kind", "rating")), "g", {}, **more)  # type: ignore[arg-type]


def course(values: list[float]) -> np.ndarray:
    return np.array([(value, -value) for value in values])


def test_report_of_ratings_has_both_dimensions_and_no_quadrants() -> None:
    readings = [Reading(np.array([0.5, -0.5]), COURSE), Reading(np.array([-0.5, 0.5]), COURSE)]
    answer = report([song(0.4, 0.2), song(-0.2, 0.3)], readings)
    assert answer["n"] == 2
    assert answer["arousal"]["r"] == pytest.approx(1)
    assert answer["arousal"]["accuracy"] == 1
    assert answer["valence"]["accuracy"] == 0.5
    assert answer["quadrant_f1"] is None
    assert set(answer["intervals"]) == {"arousal", "valence"}
    assert "dynamics" not in answer
    assert "context_10s" not in answer


def test_dynamics_are_the_mean_course_agreement_inside_pieces() -> None:
    curve = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    rising, falling = course([0.1 * k for k in range(40)]), course([-0.1 * k for k in range(40)])
    songs = [song(0, 0, curve=curve, duration_s=20.0)] * 2
    answer = report(songs, [Reading(np.zeros(2), rising), Reading(np.zeros(2), falling)])
    assert answer["dynamics_unshifted"] == {"n": 2, "arousal": pytest.approx(0), "valence": pytest.approx(0)}
    assert answer["intervals"]["dynamics_unshifted"]["arousal"] == pytest.approx([-1, 1], abs=1e-2)
    one = report(songs[:1], [Reading(np.zeros(2), rising)])
    assert one["dynamics_unshifted"]["arousal"] == pytest.approx(1, abs=1e-3)
    assert one["dynamics_unshifted"]["valence"] == pytest.approx(-1, abs=1e-3)


def test_dynamics_compare_with_the_rating_given_when_the_slider_has_followed() -> None:
    beat = [np.sin(2 * np.pi * k / 20) for k in range(120)]
    felt = np.interp((np.arange(60) + 0.5) - RATER_LAG_S, (np.arange(120) + 1) / 2, beat)
    rated = song(0, 0, curve=np.stack([felt, -felt], axis=1), duration_s=60.0)
    answer = report([rated], [Reading(np.zeros(2), course(beat))])
    assert answer["dynamics"]["arousal"] == pytest.approx(1, abs=1e-6)
    assert answer["dynamics_unshifted"]["arousal"] < 0


def clips() -> tuple[list[RatedSong], list[Reading]]:
    rng = np.random.default_rng(0)
    signs = [(a, v) for a in (-1.0, 1.0) for v in (-1.0, 1.0)] * 5
    readings = [Reading(np.array(s) * 0.3 + rng.normal(0, 0.3, 2), COURSE, np.array(s) * 0.4) for s in signs]
    return [song(*s, kind="quadrant") for s in signs], readings


def test_every_measure_has_an_interval_around_it() -> None:
    answer = report(*clips())
    for part in (answer, answer["context_10s"]):
        for name in ("arousal", "valence"):
            for measure in ("r", "ccc", "rmse", "accuracy"):
                low, high = part["intervals"][name][measure]
                assert low <= part[name][measure] <= high
        low, high = part["intervals"]["quadrant_f1"]
        assert low <= part["quadrant_f1"] <= high
    assert answer["context_10s"]["n"] == 20
    assert answer["context_10s"]["quadrant_f1"] == 1.0


def test_the_table_shows_whole_songs_ten_seconds_and_readings_with_intervals() -> None:
    answer = report(*clips())
    lines = format_table(answer).splitlines()
    assert [line.split()[0] for line in lines] == [
        *("20", "r", "arousal", "valence", "quadrants,"),
        *("ten", "r", "arousal", "valence", "quadrants,", "mean"),
    ]
    low, high = answer["intervals"]["arousal"]["r"]
    assert f"{answer['arousal']['r']:.3f} [{low:.3f}, {high:.3f}]" in lines[2]


def test_typical_music_leaves_out_beginnings_and_counts_collections_alike() -> None:
    begun = np.full((10, 2), 9.0)
    small = Reading(np.zeros(2), np.concatenate([begun, np.full((5, 2), 1.0)]))
    large = Reading(np.zeros(2), np.concatenate([begun, np.full((50, 2), -1.0)]))
    short = Reading(np.zeros(2), begun)
    found = pool_collections([[small, short], [large], [short]])
    assert found == {name: {"mean": 0.0, "sd": 1.0, "n": 55} for name in ("arousal", "valence")}
    assert pool_collections([[short]]) == {}


def test_quadrant_f1_is_the_mean_over_the_quadrants_there_are() -> None:
    rating = np.array([[1, 1], [1, 1], [-1, -1], [-1, 1]], float)
    reading = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], float)
    assert quadrant_f1(reading, rating) == pytest.approx((2 / 3 + 1 + 1) / 3)
