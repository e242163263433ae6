"""The scales that map a song's sentiments to pictures, and the agreement of two signals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.composer.story.agreement import RunningAgreement
from services.composer.story.scale import Norm, build_scale
from services.composer.story.timeline import Point

MUSIC = Norm(np.array([0.05, 0.08]), np.array([0.39, 0.30]))
PICTURES = Norm(np.array([-0.1, 0.2]), np.array([0.25, 0.4]))


def rescale_all(mode: str, values: list[float]) -> list[Point]:
    scale = build_scale(mode, MUSIC, PICTURES)
    points = [Point(i * 0.5, x, -x, 0.3, 0.1) for i, x in enumerate(values)]
    return [scaled for point in points for scaled in scale.add(point)] + scale.finish()


def test_typical_music_meets_the_typical_picture_and_unusual_music_one_as_unusual() -> None:
    scale = build_scale("absolute", MUSIC, PICTURES)
    typical = scale.add(Point(0.0, MUSIC.mean[0], MUSIC.mean[1], 0, 0))[0]
    assert (typical.arousal, typical.valence) == (pytest.approx(-0.1), pytest.approx(0.2))
    sad = scale.add(Point(0.0, MUSIC.mean[0] - MUSIC.spread[0], MUSIC.mean[1] - 2 * MUSIC.spread[1], 0, 0))[0]
    assert (sad.arousal, sad.valence) == (pytest.approx(-0.35), pytest.approx(-0.6))


def test_relative_gives_every_song_the_spread_of_the_pictures() -> None:
    points = rescale_all("relative", list(np.linspace(0.5, 0.7, 50)))
    arousal, valence = np.array([p.arousal for p in points]), np.array([p.valence for p in points])
    assert (arousal.mean(), arousal.std()) == (pytest.approx(-0.1), pytest.approx(0.25))
    assert (valence.mean(), valence.std()) == (pytest.approx(0.2), pytest.approx(0.4))


def test_a_constant_song_is_typical_of_itself_and_finite() -> None:
    assert {(p.arousal, p.valence) for p in rescale_all("relative", [0.4] * 20)} == {(-0.1, 0.2)}
    assert all(np.isfinite(p.arousal) for p in rescale_all("adaptive", [0.4] * 200))


def test_engines_without_ratings_have_one_typical_picture() -> None:
    flat = Norm.of(np.zeros((5, 2)))
    assert (MUSIC.rescale(np.array([0.9, -0.9]), flat) == 0).all()


def test_adaptive_never_looks_ahead_and_gets_used_to_a_song() -> None:
    values = [0.3, 0.1, -0.5, 0.8]
    assert rescale_all("adaptive", values)[:2] == rescale_all("adaptive", values[:2])
    steady = [p.arousal for p in rescale_all("adaptive", [0.6] * 100)]
    assert steady[0] > 0.2
    assert steady[-1] < 0.1


@given(st.lists(st.floats(-1, 1), max_size=40), st.sampled_from(["absolute", "relative", "adaptive"]))
def test_scaled_feelings_stay_on_the_plane(values: list[float], mode: str) -> None:
    points = rescale_all(mode, values)
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
