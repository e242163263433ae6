"""One implementation of r, concordance, error, sign accuracy and their intervals, for all that is measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.composer.story.agreement import RunningAgreement
from training.agreement import (
    bootstrap_intervals,
    bootstrap_rows,
    compute_agreement,
    compute_measures,
    measure_dimensions,
    measure_with_intervals,
    pearson_r,
)

RNG = np.random.default_rng(0)
WANTED = RNG.uniform(-1, 1, (200, 2))


def test_measures_of_a_known_case() -> None:
    rating = np.array([-1.0, 0.0, 1.0, 0.5])
    reading = np.array([-0.5, -0.1, 0.5, 0.5])
    found = compute_measures(rating, reading)
    assert found["r"] == pytest.approx(np.corrcoef(reading, rating)[0, 1])
    assert found["rmse"] == pytest.approx(np.sqrt((0.25 + 0.01 + 0.25 + 0) / 4))
    assert found["accuracy"] == 0.75  # a rating of 0 counts as positive
    assert compute_measures(rating, reading, zero_is_positive=False)["accuracy"] == 1.0
    covariance = np.cov(reading, rating, bias=True)
    gap = (reading.mean() - rating.mean()) ** 2
    assert found["ccc"] == pytest.approx(2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + gap))


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20))
def test_every_measure_is_finite_whatever_the_series(values: list[float]) -> None:
    series = np.array(values)
    assert all(np.isfinite(value) for value in compute_measures(np.zeros(len(values)), series).values())
    assert -1.000001 <= pearson_r(series, series[::-1]) <= 1.000001


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=20))
def test_a_whole_series_agrees_as_a_story_that_is_summed_up_pair_by_pair(pairs: list[tuple[float, float]]) -> None:
    running = RunningAgreement()
    for pair in pairs:
        running.add(*pair)
    summed, whole = running.result(), compute_agreement(*np.array(pairs).T)
    assert whole.n == summed.n == len(pairs)
    assert whole.rmse == pytest.approx(summed.rmse, abs=1e-9)
    x, y = np.array(pairs).T
    if min(x.var(), y.var()) > 1e-6:  # nearer to the limit of "constant" the last digit of a variance decides
        assert (whole.r, whole.ccc) == pytest.approx((summed.r, summed.ccc), abs=1e-6)


def test_perfect_agreement_is_one_everywhere_and_errs_nowhere() -> None:
    for measures in measure_dimensions(WANTED, WANTED).values():
        assert measures == pytest.approx({"r": 1, "ccc": 1, "rmse": 0, "accuracy": 1})


def test_a_shift_keeps_r_but_costs_concordance() -> None:
    measures = measure_dimensions(WANTED, WANTED + 0.5)["valence"]
    assert measures["r"] == pytest.approx(1)
    assert measures["ccc"] < 0.8
    assert measures["rmse"] == pytest.approx(0.5)


def test_a_constant_answer_follows_nothing() -> None:
    measures = measure_dimensions(WANTED, np.zeros_like(WANTED))["arousal"]
    assert (measures["r"], measures["ccc"]) == (0.0, 0.0)


def test_agreement_is_r_concordance_and_error() -> None:
    wave = np.sin(np.arange(20) / 3) / 2
    same, apart = compute_agreement(wave, wave), compute_agreement(wave, wave + 0.5)
    assert (same.r, same.ccc, same.rmse) == pytest.approx((1, 1, 0))
    assert (apart.r, apart.rmse) == (pytest.approx(1), pytest.approx(0.5))
    assert 0 < apart.ccc < 0.6
    constant = compute_agreement(wave, np.full(20, 0.3))
    assert (constant.r, constant.ccc) == (0, 0)


def test_bootstrap_intervals_hold_the_estimates_and_repeat() -> None:
    rng = np.random.default_rng(3)
    rating = rng.normal(size=200)
    reading = rating + rng.normal(size=200)
    found = bootstrap_intervals(compute_measures, rating, reading)
    estimates = compute_measures(rating, reading)
    assert set(found) == {"r", "ccc", "rmse", "accuracy"}
    for name, (low, high) in found.items():
        assert low < estimates[name] < high < low + 0.3
    assert found == bootstrap_intervals(compute_measures, rating, reading)


def test_an_interval_encloses_r_and_is_wider_when_rows_hang_together() -> None:
    read = WANTED + RNG.normal(0, 0.5, WANTED.shape)
    alone = measure_with_intervals(WANTED, read, np.arange(200).astype(str))
    together = measure_with_intervals(
        np.repeat(WANTED[:20], 10, 0), np.repeat(read[:20], 10, 0), np.repeat(np.arange(20), 10).astype(str)
    )
    low, high = alone["arousal"]["r_95"]  # type: ignore[misc]
    wide_low, wide_high = together["arousal"]["r_95"]  # type: ignore[misc]
    assert low < alone["arousal"]["r"] < high
    assert wide_high - wide_low > high - low


def test_whole_groups_are_drawn_and_single_rows_as_numpy_draws_them() -> None:
    groups = np.array(["b", "a", "b", "c"])
    for rows in bootstrap_rows(groups):
        assert np.count_nonzero(rows == 0) == np.count_nonzero(rows == 2)
    first = next(bootstrap_rows(np.arange(5)))
    assert first.tolist() == np.random.default_rng(0).integers(0, 5, 5).tolist()
