import dataclasses
import itertools

import numpy as np
import pytest

from services.audio_sentiment.sentiment import SILENCE, Analyser, Pacing, Point
from tests.unit.audio_sentiment.models import networks, sentiment_model
from tests.unit.audio_sentiment.signals import F32, chords, silence


def analyse(samples: F32, piece: int = 8192, pacing: Pacing | None = None) -> tuple[list[Point], tuple[float, float]]:
    analyser = Analyser(networks(), sentiment_model(), pacing or Pacing())
    points = [p for at in range(0, samples.size, piece) for p in analyser.push(samples[at : at + piece])]
    points.extend(analyser.finish(-(-samples.size // 8000)))
    return points, analyser.sentiment()


@pytest.mark.parametrize("piece", [333, 8000, 50_000])
def test_points_are_identical_for_any_piece_size(piece: int) -> None:
    samples = chords(6.3)
    assert analyse(samples, piece) == analyse(samples, 1600)


def test_points_follow_each_other_every_half_second() -> None:
    points, _ = analyse(chords(3.7))
    assert [point.time_us for point in points] == [500_000 * k for k in range(8)]


def test_silence_is_calm_and_neutral() -> None:
    points, song = analyse(silence(4.0))
    assert {(p.arousal, p.valence, p.loudness, p.onset_strength) for p in points} == {(-0.6, 0.0, 0.0, 0.0)}
    assert song == tuple(SILENCE)


def test_music_that_stops_calms_down() -> None:
    points, _ = analyse(np.concatenate([chords(6.0, level=0.8), silence(20.0)]), pacing=Pacing(smoothing_s=2.0))
    assert points[-1].arousal == pytest.approx(-0.6, abs=0.02)
    assert points[-1].valence == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 40.0])
def test_readings_stay_on_the_scale_at_any_level(scale: float) -> None:
    noise = np.random.default_rng(5).normal(0, 1, 40_000).astype(np.float32) * np.float32(scale)
    points, song = analyse(noise)
    values = np.array([dataclasses.astuple(point)[1:] for point in points])
    assert np.isfinite(values).all()
    assert (np.abs(values[:, :2]) <= 1).all()
    assert ((values[:, 2:] >= 0) & (values[:, 2:] <= 1)).all()
    assert np.isfinite(song).all()


def test_more_smoothing_moves_less() -> None:
    samples = np.concatenate([chords(8.0, level=0.9), np.random.default_rng(0).normal(0, 0.3, 128_000)])
    quick, _ = analyse(samples.astype(np.float32), pacing=Pacing(smoothing_s=1.0))
    slow, _ = analyse(samples.astype(np.float32), pacing=Pacing(smoothing_s=30.0))
    travel = [sum(abs(b.arousal - a.arousal) for a, b in itertools.pairwise(ps[12:])) for ps in (quick, slow)]
    assert travel[1] < 0.7 * travel[0]


def test_beyond_the_context_nothing_is_remembered() -> None:
    tail = chords(8.0, seed=2)
    noise = np.random.default_rng(0).normal(0, 0.3, 64_000).astype(np.float32)
    pacing = Pacing(context_s=2.0)
    after_noise, _ = analyse(np.concatenate([noise, tail]), pacing=pacing)
    after_chords, _ = analyse(np.concatenate([chords(4.0), tail]), pacing=pacing)
    assert after_noise[-1].arousal == pytest.approx(after_chords[-1].arousal, abs=1e-5)
    assert after_noise[-1].valence == pytest.approx(after_chords[-1].valence, abs=1e-5)


@pytest.mark.parametrize("gain_db", [-12.0, -6.0, 6.0])
def test_a_copy_at_another_level_reads_alike(gain_db: float) -> None:
    samples = chords(10.0, level=0.3)
    (_, plain), (_, moved) = analyse(samples), analyse(samples * np.float32(10 ** (gain_db / 20)))
    np.testing.assert_allclose(moved, plain, atol=0.02)
