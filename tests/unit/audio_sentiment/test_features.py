import numpy as np
import pytest

from services.audio_sentiment.features import MEL_COUNT, MelStream, loudness, mel_filters, onset_strength
from tests.unit.audio_sentiment.signals import chords, silence


@pytest.mark.parametrize("piece", [1, 255, 256, 4001, 16_000])
def test_mel_frames_do_not_depend_on_the_pieces_the_samples_come_in(piece: int) -> None:
    samples = chords(1.0) if piece > 1 else chords(0.1)
    whole = MelStream().push(samples)
    stream = MelStream()
    pieces = np.concatenate([stream.push(samples[at : at + piece]) for at in range(0, samples.size, piece)])
    assert pieces.shape == whole.shape == (samples.size // 256, MEL_COUNT)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


def test_a_tone_shows_in_the_mel_that_covers_it() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    frames = MelStream().push(tone)
    centres = mel_filters().argmax(axis=0) * 16_000 / 512
    assert centres[frames[30].argmax()] == pytest.approx(1000, abs=32)


def test_silence_is_zero_in_every_mel() -> None:
    assert not MelStream().push(silence(0.5)).any()


@pytest.mark.parametrize(
    ("amplitude", "expected"), [(0.0, 0.0), (0.001, 0.0), (10 ** (-30 / 20), 0.5), (1.0, 1.0), (4.0, 1.0)]
)
def test_loudness_is_linear_in_decibels_from_minus_sixty_to_full_scale(amplitude: float, expected: float) -> None:
    assert loudness(np.full(8000, amplitude, np.float32)) == pytest.approx(expected, abs=1e-4)


def test_loudness_of_no_samples_is_zero() -> None:
    assert loudness(np.empty(0, np.float32)) == 0.0


def test_onset_strength_tells_a_struck_note_from_one_that_lasts() -> None:
    before = np.zeros(MEL_COUNT, np.float32)
    held = np.full((5, MEL_COUNT), 2.0, np.float32)
    assert onset_strength(held, before) == 1.0
    assert onset_strength(held, held[0]) == 0.0
    assert onset_strength(held[:0], before) == 0.0
    assert onset_strength(np.full((1, MEL_COUNT), 0.1, np.float32), before) == pytest.approx(0.08)


def test_a_falling_level_is_no_onset() -> None:
    assert onset_strength(np.zeros((3, MEL_COUNT), np.float32), np.ones(MEL_COUNT, np.float32)) == 0.0
