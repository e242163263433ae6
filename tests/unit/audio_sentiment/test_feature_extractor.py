import numpy as np
import pytest

from services.audio_sentiment.embedding import Embedder
from services.audio_sentiment.feature_extractor import LATE_SAMPLES, WINDOW_SAMPLES, FeatureExtractor, Window
from tests.unit.audio_sentiment.models import networks
from tests.unit.audio_sentiment.signals import F32, chords, silence


def extract(samples: F32, piece: int, window_count: int | None = None) -> list[Window]:
    extractor = FeatureExtractor(networks())
    windows = [w for at in range(0, samples.size, piece) for w in extractor.push(samples[at : at + piece])]
    return windows + list(
        extractor.finish(-(-samples.size // WINDOW_SAMPLES) if window_count is None else window_count)
    )


@pytest.mark.parametrize("piece", [160, 4096, 7999, 8000, 100_000])
def test_windows_are_identical_for_any_piece_size(piece: int) -> None:
    samples = chords(5.2)
    expected, found = extract(samples, 1024), extract(samples, piece)
    assert len(found) == len(expected) == 11
    for one, other in zip(expected, found, strict=True):
        for kind in ("embedding", "patch", "harmony", "timbre"):
            assert getattr(one, kind).tobytes() == getattr(other, kind).tobytes(), kind
        assert (one.loudness, one.onset_strength) == (other.loudness, other.onset_strength)


def test_the_first_window_comes_with_the_first_half_second() -> None:
    extractor = FeatureExtractor(networks())
    assert list(extractor.push(chords(0.5)[: -LATE_SAMPLES - 1])) == []
    assert len(list(extractor.push(np.zeros(1, np.float32)))) == 1
    assert list(extractor.push(np.zeros(LATE_SAMPLES, np.float32))) == []


@pytest.mark.parametrize(("samples", "windows"), [(8000, 1), (8001, 2), (15_999, 2), (16_000, 2), (20_000, 3)])
def test_the_last_window_may_be_shorter(samples: int, windows: int) -> None:
    found = extract(chords(2.0)[:samples], 1000)
    assert len(found) == windows
    assert all(np.isfinite(window.embedding).all() for window in found)


def test_a_resampler_that_gives_a_little_less_or_more_changes_no_count() -> None:
    assert len(extract(chords(2.0)[: 16_000 - 40], 1000, window_count=2)) == 2
    assert len(extract(chords(2.0)[: 16_000 + 40], 1000, window_count=2)) == 2


def test_a_window_depends_on_its_own_sound() -> None:
    windows = extract(np.concatenate([chords(1.0, level=0.9), silence(1.0), chords(1.0, level=0.9)]), 8000)
    assert [window.loudness > 0.3 for window in windows] == [True, True, False, False, True, True]
    assert windows[2].loudness == windows[3].loudness == 0.0
    assert windows[3].onset_strength == 0.0
    assert windows[4].onset_strength > 0.5


def test_an_embedding_depends_on_no_later_sound() -> None:
    one, other = chords(6.0), chords(6.0)
    other[WINDOW_SAMPLES * 8 :] *= 0.1
    first, second = extract(one, 4000), extract(other, 4000)
    assert all(a.embedding.tobytes() == b.embedding.tobytes() for a, b in zip(first[:8], second[:8], strict=True))
    assert any(a.embedding.tobytes() != b.embedding.tobytes() for a, b in zip(first[8:], second[8:], strict=True))


def test_an_embedder_without_a_frame_says_so() -> None:
    with pytest.raises(ValueError, match="push at least one"):
        Embedder(networks().stream).push(np.empty((0, 96), np.float32))
