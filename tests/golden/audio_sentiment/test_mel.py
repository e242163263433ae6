"""Our log-mel frames against librosa's, which musicnn was trained on."""

import numpy as np
import pytest

from services.audio_sentiment.features import MelStream, mel_filters
from tests.unit.audio_sentiment.signals import chords

librosa = pytest.importorskip("librosa")


@pytest.mark.filterwarnings("ignore")
def test_mel_filters_are_librosas() -> None:
    expected = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=96).T
    np.testing.assert_allclose(mel_filters(), expected, atol=1e-7)


@pytest.mark.filterwarnings("ignore")
def test_log_mel_frames_are_librosas() -> None:
    samples = chords(4.0) + np.random.default_rng(1).normal(0, 0.01, 64_000).astype(np.float32)
    power = librosa.feature.melspectrogram(y=samples, sr=16_000, n_fft=512, hop_length=256, n_mels=96)
    expected = np.log10(10_000 * power.T + 1)
    frames = MelStream().push(samples)
    assert len(frames) == 250  # librosa adds a last one that reaches into the padding
    np.testing.assert_allclose(frames, expected[:250], atol=2e-5)
