import numpy as np
import pytest

from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.harmony import HARMONY_SIZE, MAJOR, MINOR, Harmony, key_features

A_HZ = 220.0


def chord(semitones: tuple[int, ...], seconds: float = 3.0) -> np.ndarray:
    times = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tones = [np.sin(2 * np.pi * A_HZ * 2 ** (step / 12) * times) for step in semitones]
    return np.asarray(0.1 * np.sum(tones, axis=0), np.float32)


def read_harmony(samples: np.ndarray, piece: int = 8000) -> np.ndarray:
    harmony = Harmony()
    return [harmony.push(samples[at : at + piece]) for at in range(0, samples.size, piece)][-1]


def test_a_major_chord_is_distinguished_from_a_minor_one() -> None:
    major, minor = read_harmony(chord((0, 4, 7))), read_harmony(chord((0, 3, 7)))
    assert major.shape == minor.shape == (HARMONY_SIZE,)
    assert major[0] > 0.05 > -0.05 > minor[0]
    assert major[2] > 0.1 > -0.1 > minor[2]  # thirds


def test_it_does_not_matter_in_which_key_a_chord_stands() -> None:
    np.testing.assert_allclose(read_harmony(chord((0, 4, 7)))[:5], read_harmony(chord((3, 7, 10)))[:5], atol=0.06)


@pytest.mark.parametrize(("profile", "sign"), [(MAJOR, 1), (MINOR, -1)])
def test_a_profile_is_most_like_its_own_kind_of_key(profile: tuple[float, ...], sign: int) -> None:
    for tonic in range(12):
        features = key_features(np.roll(profile, tonic))
        assert sign * features[0] > 0
        assert features[1] == pytest.approx(1.0, abs=1e-4)
        np.testing.assert_allclose(features[7:], np.array(profile) / sum(profile), atol=1e-5)


def test_neighbouring_semitones_are_rougher_than_a_fifth() -> None:
    assert read_harmony(chord((0, 2)))[-7] > 5 * read_harmony(chord((0, 7)))[-7]  # a whole tone apart


def test_silence_and_pieces_too_short_for_a_frame_are_finite() -> None:
    assert np.isfinite(read_harmony(np.zeros(16_000, np.float32))).all()
    assert np.isfinite(Harmony().push(np.zeros(10, np.float32))).all()
