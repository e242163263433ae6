import numpy as np
import pytest

from training.translator.measures import agreement, intervals

RNG = np.random.default_rng(0)
WANTED = RNG.uniform(-1, 1, (200, 2))


def test_perfect_agreement_is_one_everywhere_and_errs_nowhere() -> None:
    for measures in agreement(WANTED, WANTED).values():
        assert measures == pytest.approx({"r": 1, "ccc": 1, "rmse": 0, "accuracy": 1})


def test_a_shift_keeps_r_but_costs_concordance() -> None:
    measures = agreement(WANTED, WANTED + 0.5)["valence"]
    assert measures["r"] == pytest.approx(1)
    assert measures["ccc"] < 0.8
    assert measures["rmse"] == pytest.approx(0.5)


def test_a_constant_answer_follows_nothing() -> None:
    measures = agreement(WANTED, np.zeros_like(WANTED))["arousal"]
    assert (measures["r"], measures["ccc"]) == (0.0, 0.0)


def test_an_interval_encloses_r_and_is_wider_when_rows_hang_together() -> None:
    read = WANTED + RNG.normal(0, 0.5, WANTED.shape)
    alone = intervals(WANTED, read, np.arange(200).astype(str))
    together = intervals(
        np.repeat(WANTED[:20], 10, 0), np.repeat(read[:20], 10, 0), np.repeat(np.arange(20), 10).astype(str)
    )
    low, high = alone["arousal"]["r_95"]  # type: ignore[index]
    wide_low, wide_high = together["arousal"]["r_95"]  # type: ignore[index]
    assert low < alone["arousal"]["r"] < high  # type: ignore[index]
    assert wide_high - wide_low > high - low
