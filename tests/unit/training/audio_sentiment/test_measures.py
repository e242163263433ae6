import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.audio_sentiment.measures import agreement, bootstrap_intervals, correlation, quadrant_f1


def test_agreement_of_a_known_case() -> None:
    rating = np.array([-1.0, 0.0, 1.0, 0.5])
    reading = np.array([-0.5, -0.1, 0.5, 0.5])
    found = agreement(reading, rating)
    assert found["r"] == pytest.approx(np.corrcoef(reading, rating)[0, 1])
    assert found["rmse"] == pytest.approx(np.sqrt((0.25 + 0.01 + 0.25 + 0) / 4))
    assert found["accuracy"] == 0.75  # a rating of 0 counts as positive
    covariance = np.cov(reading, rating, bias=True)
    gap = (reading.mean() - rating.mean()) ** 2
    assert found["ccc"] == pytest.approx(2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + gap))


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20))
def test_every_measure_is_finite_whatever_the_series(values: list[float]) -> None:
    series = np.array(values)
    assert all(np.isfinite(value) for value in agreement(series, np.zeros(len(values))).values())
    assert -1.000001 <= correlation(series, series[::-1]) <= 1.000001


def test_quadrant_f1_is_the_mean_over_the_quadrants_there_are() -> None:
    rating = np.array([[1, 1], [1, 1], [-1, -1], [-1, 1]], float)
    reading = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], float)
    assert quadrant_f1(reading, rating) == pytest.approx((2 / 3 + 1 + 1) / 3)


def test_bootstrap_intervals_hold_the_estimates_and_repeat() -> None:
    rng = np.random.default_rng(3)
    rating = rng.normal(size=200)
    reading = rating + rng.normal(size=200)
    found = bootstrap_intervals(agreement, reading, rating)
    estimates = agreement(reading, rating)
    assert set(found) == {"r", "ccc", "rmse", "accuracy"}
    for name, (low, high) in found.items():
        assert low < estimates[name] < high < low + 0.3
    assert found == bootstrap_intervals(agreement, reading, rating)
