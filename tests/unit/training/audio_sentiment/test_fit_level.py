import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("tqdm")
pytest.importorskip("onnx")

from training.audio_sentiment.fit import fit_level, pairwise_distances

F64 = NDArray[np.float64]
RNG = np.random.default_rng(3)
SONGS = RNG.uniform(-1, 1, (300, 3))
BENT = np.stack([np.sign(SONGS[:, 0] * SONGS[:, 1]), SONGS[:, 2]], axis=1)  # no line predicts the first


def fit_songs(share: float, *, weights: F64 | None = None, wanted: F64 = BENT) -> dict[str, F64]:
    counts = np.ones(len(SONGS)) if weights is None else weights
    return fit_level(SONGS, wanted, counts, 0.01 * np.eye(3), share=share, width=0.5, dimensions=3)


def read(fit: dict[str, F64], songs: F64) -> F64:
    near = np.exp(-pairwise_distances(songs @ fit["view"], fit["centres"]))
    return np.asarray(songs @ fit["level"] + fit["level_bias"] + near @ fit["centre_weights"])


def test_songs_near_by_tell_what_no_line_can() -> None:
    others = RNG.uniform(-1, 1, (200, 3))
    felt = np.sign(others[:, 0] * others[:, 1])
    line, both = (read(fit_songs(share), others) for share in (0.0, 1.0))
    assert abs(np.corrcoef(line[:, 0], felt)[0, 1]) < 0.3
    assert np.corrcoef(both[:, 0], felt)[0, 1] > 0.75
    np.testing.assert_allclose(both[:, 1], others[:, 2], atol=0.15)


def test_without_them_it_is_the_ridge() -> None:
    fit = fit_songs(0.0)
    middle = SONGS - SONGS.mean(axis=0)
    ridge = np.linalg.solve(middle.T @ middle / 300 + 0.01 * np.eye(3), middle.T @ (BENT - BENT.mean(axis=0)) / 300)
    np.testing.assert_allclose(fit["level"], ridge, atol=1e-9)
    assert not fit["centre_weights"].any()


def test_far_from_all_songs_only_the_line_is_left() -> None:
    fit = fit_songs(1.0)
    far = np.array([[40.0, -30.0, 5.0]])
    np.testing.assert_allclose(read(fit, far), far @ fit["level"] + fit["level_bias"], atol=1e-12)


def test_a_song_that_counts_for_nothing_changes_nothing() -> None:
    weights = np.ones(300)
    weights[7] = 1e-12
    wrong = BENT.copy()
    wrong[7] = 9.0
    others = RNG.uniform(-1, 1, (20, 3))
    one, other = (read(fit_songs(1.0, weights=weights, wanted=wanted), others) for wanted in (BENT, wrong))
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_distances_are_those_of_rows() -> None:
    found = pairwise_distances(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[3.0, 4.0]]))
    np.testing.assert_allclose(found, [[25.0], [0.0]])
