from pathlib import Path

import numpy as np
import pytest

import services.audio_sentiment
from deepsing.runtime.artifacts import load_artifact
from deepsing.runtime.onnx import open_session
from services.audio_sentiment.rhythm.tracker import FORECAST_FRAMES, RhythmTracker

RATE = 16_000
WEIGHTS = Path(services.audio_sentiment.__file__).with_name("weights")


@pytest.fixture(scope="module")
def network():
    return open_session(load_artifact(WEIGHTS / "beats.json")[1], threads=1)


def make_clicks(bpm, seconds, start=0.5):
    samples = np.zeros(int(seconds * RATE), np.float32)
    time = np.arange(800)
    click = (0.5 * np.sin(2 * np.pi * 1000 * time / RATE) * np.exp(-time / 150)).astype(np.float32)
    while start < seconds - 0.1:
        at = int(start * RATE)
        samples[at : at + len(click)] += click
        start += 60 / bpm
    return samples


def hear(network, samples, live, chunk=None):
    tracker = RhythmTracker(network, live)
    size = chunk or max(1, len(samples))
    windows = [w for at in range(0, len(samples), size) for w in tracker.push(samples[at : at + size])]
    return windows + list(tracker.finish(-(-len(samples) // (RATE // 2))))


@pytest.mark.parametrize("live", [True, False])
def test_clicks_of_120_bpm_are_beats_of_120_bpm(network, live):
    windows = hear(network, make_clicks(120, 20), live)
    beats = np.array([beat.time_us / 1e6 for window in windows[10:36] for beat in window.beats])
    assert len(beats) == 26
    assert np.abs((beats + 0.25) % 0.5 - 0.25).max() <= 0.0201
    assert windows[20].tempo.beats_per_minute == pytest.approx(120, abs=1)
    assert windows[20].beats[0].certainty > 0.9


@pytest.mark.parametrize("live", [True, False])
def test_the_same_whatever_the_chunks(network, live):
    samples = make_clicks(100, 20.3)
    expected = hear(network, samples, live)
    for chunk in (777, 8_000, 50_001):
        for window, other in zip(expected, hear(network, samples, live, chunk), strict=True):
            assert (window.beats, window.forecast, window.tempo) == (other.beats, other.forecast, other.tempo)
            assert window.onsets.tobytes() == other.onsets.tobytes()


def test_live_windows_come_at_their_end_and_forecast_two_seconds(network):
    tracker = RhythmTracker(network, live=True)
    samples = make_clicks(120, 20)
    windows = list(tracker.push(samples[: 40 * RATE // 4]))
    assert len(windows) == 20
    end_us = 10_000_000
    forecast = windows[-1].forecast
    assert [end_us <= beat.time_us < end_us + FORECAST_FRAMES * 20_000 for beat in forecast] == [True] * 4
    assert windows[-1].forecast[1].time_us - windows[-1].forecast[0].time_us == 500_000


@pytest.mark.parametrize("live", [True, False])
def test_no_beat_in_silence_noise_and_a_tone(network, live):
    count = 20 * RATE
    noise = np.random.default_rng(0).normal(0, 0.1, count).astype(np.float32)
    tone = (0.3 * np.sin(np.arange(count) * 0.17)).astype(np.float32)
    for samples in (np.zeros(count, np.float32), noise, tone):
        windows = hear(network, samples, live)
        assert len(windows) == 40
        assert all(beat.certainty < 0.5 for window in windows for beat in window.beats)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("bpm", [20, 300])
def test_extreme_tempi_give_finite_values_in_their_windows(network, live, bpm):
    for number, window in enumerate(hear(network, make_clicks(bpm, 20), live)):
        for beat in window.beats:
            assert number * 500_000 <= beat.time_us < (number + 1) * 500_000
            assert 0 <= beat.certainty <= 1
        assert window.tempo is None or 20 <= window.tempo.beats_per_minute <= 300


@pytest.mark.parametrize("live", [True, False])
def test_a_song_of_six_tenths_of_a_second_has_two_windows_without_a_beat(network, live):
    windows = hear(network, make_clicks(120, 0.6, start=0.1), live)
    assert [window.beats for window in windows] == [(), ()]
    assert windows[0].onsets[:, 1].argmax() in (range(9, 13) if live else range(8, 12))


def test_samples_that_are_no_numbers_are_silence(network):
    windows = hear(network, np.full(5 * RATE, np.nan, np.float32), live=True)
    assert [int(window.onsets.max()) for window in windows] == [0] * 10


@pytest.mark.parametrize("live", [True, False])
def test_music_after_a_long_silence_is_heard(network, live):
    windows = hear(network, np.concatenate([np.zeros(30 * RATE, np.float32), make_clicks(120, 20)]), live)
    assert not any(window.beats for window in windows[:50])
    assert windows[80].tempo.beats_per_minute == pytest.approx(120, abs=1)


def test_onsets_do_not_depend_on_the_level(network):
    samples = make_clicks(120, 5)
    loud, soft = (np.concatenate([w.onsets for w in hear(network, samples * gain, True)]) for gain in (1.0, 0.1))
    assert int(loud.max()) > 100
    assert np.abs(loud.astype(int) - soft.astype(int))[100:].max() <= 2  # once something has been heard
