"""What an exported engine file promises to whoever runs it, with nothing but onnxruntime."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.generator.opened import tiny_engine


def paint(weights: np.ndarray, noise: np.ndarray, truncation: np.ndarray) -> np.ndarray:
    return tiny_engine().paint(weights.astype(np.float32), noise.astype(np.float32), truncation.astype(np.float32))


def test_without_truncation_noise_does_not_matter() -> None:
    noise = np.random.default_rng(0).standard_normal((3, 4))
    assert np.array_equal(paint(np.eye(3), noise, np.zeros(3)), paint(np.eye(3), 0 * noise, np.zeros(3)))


def test_with_truncation_it_does_and_more_of_it_moves_further() -> None:
    noise = np.random.default_rng(0).standard_normal((1, 4)).repeat(3, axis=0)
    made = paint(np.eye(3)[[1, 1, 1]], noise, np.array([0, 0.3, 1])).astype(float)
    near, far = (np.abs(made[row] - made[0]).mean() for row in (1, 2))
    assert 0.1 < near < far


@given(count=st.integers(1, 8), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_row_is_the_same_picture_alone_and_in_any_batch(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, noise = rng.dirichlet(np.full(3, 0.5), count), rng.standard_normal((count, 4))
    truncation = rng.uniform(0, 1, count)
    together = paint(weights, noise, truncation)
    for row in range(count):
        part = slice(row, row + 1)
        alone = paint(weights[part], noise[part], truncation[part])[0]
        assert np.abs(together[row].astype(int) - alone).max() <= 1  # rounding; the painter's fixed runs make it 0


def test_a_mixture_shows_each_concept_where_its_field_is_strong() -> None:
    weights = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]])
    right, left, half = paint(weights, np.zeros((3, 4)), np.zeros(3)).astype(float)
    from_left, from_right = (np.abs(half - other).mean(axis=(0, 2)) for other in (left, right))
    assert 2 * from_left[:24].mean() < from_right[:24].mean()
    assert 2 * from_right[-24:].mean() < from_left[-24:].mean()


@pytest.mark.parametrize("start", [0.0, 0.1, 0.5, 0.9])
def test_a_small_step_of_the_weights_is_a_small_step_of_the_picture(start: float) -> None:
    shares = np.array([start, start + 0.01])
    made = paint(np.stack([1 - shares, shares, 0 * shares], axis=1), np.zeros((2, 4)), np.zeros(2)).astype(float)
    assert np.abs(made[1] - made[0]).mean() < 4  # of 255
