"""The scales that feelings are put on, and the agreement of two signals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.composer.agreement import RunningAgreement
from services.composer.scale import SPREAD, scale_of
from services.composer.timeline import Point


def heard(mode: str, values: list[float]) -> list[Point]:
    scale = scale_of(mode)
    points = [Point(i * 0.5, x, -x, 0.3, 0.1) for i, x in enumerate(values)]
    return [scaled for point in points for scaled in scale.add(point)] + scale.finish()


def test_absolute_leaves_feelings_alone() -> None:
    assert [p.arousal for p in heard("absolute", [0.1, -0.4])] == [0.1, -0.4]


def test_relative_gives_every_song_the_same_mean_and_spread() -> None:
    arousal = np.array([p.arousal for p in heard("relative", list(np.linspace(0.5, 0.7, 50)))])
    assert arousal.mean() == pytest.approx(0, abs=1e-9)
    assert arousal.std() == pytest.approx(SPREAD)


@pytest.mark.parametrize("mode", ["relative", "adaptive"])
def test_a_constant_song_is_neutral_and_finite(mode: str) -> None:
    arousal = [p.arousal for p in heard(mode, [0.0] * 20)]
    assert arousal == [0.0] * 20


def test_adaptive_never_looks_ahead() -> None:
    values = [0.3, 0.1, -0.5, 0.8]
    assert heard("adaptive", values)[:2] == heard("adaptive", values[:2])


@given(st.lists(st.floats(-1, 1), max_size=40), st.sampled_from(["absolute", "relative", "adaptive"]))
def test_scaled_feelings_stay_on_the_plane(values: list[float], mode: str) -> None:
    points = heard(mode, values)
    assert len(points) == len(values)
    assert all(-1 <= p.arousal <= 1 and -1 <= p.valence <= 1 for p in points)


def test_agreement_equals_the_textbook() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(0.2, 0.5, 500)
    y = 0.7 * x + rng.normal(0.1, 0.2, 500)
    running = RunningAgreement()
    for a, b in zip(x, y, strict=True):
        running.add(a, b)
    result = running.result()
    cov = np.cov(x, y, bias=True)
    assert result.n == 500
    assert result.r == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert result.ccc == pytest.approx(2 * cov[0, 1] / (cov[0, 0] + cov[1, 1] + (x.mean() - y.mean()) ** 2))
    assert result.rmse == pytest.approx(np.sqrt(((x - y) ** 2).mean()))


def test_agreement_of_a_constant_is_nought_not_nan() -> None:
    running = RunningAgreement()
    assert running.result().r == 0
    for _ in range(5):
        running.add(0.3, 0.3)
    assert (running.result().r, running.result().ccc, running.result().rmse) == (0, 0, 0)
