import numpy as np
import pytest

from services.audio_sentiment.analyser import Analyser, Point
from services.audio_sentiment.readers import LOOK_AHEAD_S, Pacing
from services.audio_sentiment.sentiment import SILENCE
from tests.unit.audio_sentiment.models import networks, passage_model, sentiment_model
from tests.unit.audio_sentiment.signals import F32, chords, silence


def analyse(
    samples: F32, piece: int = 8192, pacing: Pacing | None = None, *, whole: bool = False
) -> tuple[list[Point], tuple[float, float]]:
    analyser = Analyser(networks(), sentiment_model(), passage_model(), pacing or Pacing(), whole=whole)
    points = [p for at in range(0, samples.size, piece) for p in analyser.push(samples[at : at + piece])]
    points.extend(analyser.finish(-(-samples.size // 8000)))
    return points, analyser.sentiment()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("piece", [333, 8000, 50_000])
def test_points_are_identical_for_any_piece_size(piece: int, whole: bool) -> None:
    samples = chords(6.3)
    assert analyse(samples, piece, whole=whole) == analyse(samples, 1600, whole=whole)


@pytest.mark.parametrize("whole", [False, True])
def test_points_follow_each_other_every_half_second(whole: bool) -> None:
    points, _ = analyse(chords(3.7), whole=whole)
    assert [point.time_us for point in points] == [500_000 * k for k in range(8)]


def test_silence_is_calm_and_neutral() -> None:
    points, song = analyse(silence(4.0))
    assert {(p.reading.arousal, p.reading.valence, p.loudness, p.onset_strength) for p in points} == {
        (-0.6, 0.0, 0.0, 0.0)
    }
    assert song == tuple(SILENCE)


def test_music_that_stops_calms_down() -> None:
    points, _ = analyse(np.concatenate([chords(6.0, level=0.8), silence(20.0)]), pacing=Pacing(smoothing_s=2.0))
    assert points[-1].reading.arousal == pytest.approx(-0.6, abs=0.02)
    assert points[-1].reading.valence == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1.0, 40.0])
def test_readings_stay_on_the_scale_at_any_level(scale: float) -> None:
    noise = np.random.default_rng(5).normal(0, 1, 40_000).astype(np.float32) * np.float32(scale)
    points, song = analyse(noise)
    rows = [(p.reading.arousal, p.reading.valence, p.loudness, p.onset_strength) for p in points]
    values = np.array(rows)
    assert np.isfinite(values).all()
    assert (np.abs(values[:, :2]) <= 1).all()
    assert ((values[:, 2:] >= 0) & (values[:, 2:] <= 1)).all()
    assert np.isfinite(song).all()


def test_beyond_the_context_nothing_is_remembered() -> None:
    tail = chords(8.0, seed=2)
    noise = np.random.default_rng(0).normal(0, 0.3, 64_000).astype(np.float32)
    pacing = Pacing(context_s=2.0)
    after_noise, _ = analyse(np.concatenate([noise, tail]), pacing=pacing)
    after_chords, _ = analyse(np.concatenate([chords(4.0), tail]), pacing=pacing)
    assert after_noise[-1].reading.arousal == pytest.approx(after_chords[-1].reading.arousal, abs=1e-5)
    assert after_noise[-1].reading.valence == pytest.approx(after_chords[-1].reading.valence, abs=1e-5)


@pytest.mark.parametrize("gain_db", [-12.0, -6.0, 6.0])
def test_a_copy_at_another_level_reads_alike(gain_db: float) -> None:
    samples = chords(10.0, level=0.3)
    (_, plain), (_, moved) = analyse(samples), analyse(samples * np.float32(10 ** (gain_db / 20)))
    np.testing.assert_allclose(moved, plain, atol=0.02)


def test_with_the_song_at_hand_points_come_at_most_the_look_ahead_later() -> None:
    analyser = Analyser(networks(), sentiment_model(), passage_model(), Pacing(), whole=True)
    samples = chords(LOOK_AHEAD_S + 3.0)
    points = list(analyser.push(samples))
    assert len(points) == 6
    assert analyser.point_count == 6
