import numpy as np
import pytest

from services.audio_sentiment.feature_extractor import LEAST_POWER, TYPICAL_POWER, RunningGain, apply_gain
from services.audio_sentiment.features import MelStream
from tests.unit.audio_sentiment.signals import chords


def test_a_steady_stream_is_brought_to_the_typical_level() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 8000).astype(np.float32)
    gain = RunningGain().update(noise)
    assert np.mean(np.square(noise * gain)) == pytest.approx(TYPICAL_POWER, rel=1e-4)


def test_a_soft_passage_stays_softer_than_a_loud_one() -> None:
    loud = np.full(8000, 0.2, np.float32)
    running_gain = RunningGain()
    first = [running_gain.update(loud) for _ in range(20)][-1]
    after = running_gain.update(loud * np.float32(0.1))
    assert first < after < 1.1 * first


def test_next_to_nothing_is_not_made_music() -> None:
    assert RunningGain().update(np.zeros(8000, np.float32)) == pytest.approx((TYPICAL_POWER / LEAST_POWER) ** 0.5)
    assert RunningGain().update(np.zeros(0, np.float32)) == pytest.approx((TYPICAL_POWER / LEAST_POWER) ** 0.5)


def test_levelled_frames_are_those_of_the_louder_samples() -> None:
    samples = chords(1.0, level=0.1)
    one, other = MelStream().push(samples), MelStream().push(samples * np.float32(3.0))
    np.testing.assert_allclose(apply_gain(one, 3.0), other, atol=2e-3)
