import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.generator.generate import NOISE_SPREAD, latents_of, noise_basis

RNG = np.random.default_rng(5)
TABLE = RNG.standard_normal((7, 12)).astype(np.float32) * np.linspace(3, 0.5, 12, dtype=np.float32)
BASIS = noise_basis(TABLE, 9)


def rows(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(7, 0.3), count).astype(np.float32)
    noise = rng.standard_normal((count, 9)).astype(np.float32)
    return weights, noise, rng.uniform(0, 1, count).astype(np.float32)


def test_a_one_hot_row_without_noise_is_its_anchor_to_the_last_bit() -> None:
    made = latents_of(np.eye(7, dtype=np.float32), np.ones((7, 9), np.float32), np.zeros(7, np.float32), TABLE, BASIS)
    assert made.dtype == np.float32
    assert np.array_equal(made, TABLE)


def test_half_and_half_is_the_middle_of_two_anchors() -> None:
    weights = np.array([[0.5, 0.5, 0, 0, 0, 0, 0]], dtype=np.float32)
    made = latents_of(weights, np.zeros((1, 9), np.float32), np.ones(1, np.float32), TABLE, BASIS)
    assert made[0] == pytest.approx((TABLE[0] + TABLE[1]) / 2)


@given(count=st.integers(1, 16), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_row_is_the_same_bits_alone_and_in_any_batch(count: int, seed: int) -> None:
    weights, noise, truncation = rows(count, seed)
    together = latents_of(weights, noise, truncation, TABLE, BASIS)
    for row in range(count):
        part = slice(row, row + 1)
        alone = latents_of(weights[part], noise[part], truncation[part], TABLE, BASIS)
        assert np.array_equal(together[row], alone[0])


@given(st.integers(0, 99), st.floats(0, 1, width=32))
@settings(max_examples=30, deadline=None)
def test_truncation_scales_how_far_noise_carries(seed: int, truncation: float) -> None:
    weights, noise, _ = rows(1, seed)
    still, far, full = (
        latents_of(weights, noise, np.full(1, share, np.float32), TABLE, BASIS) for share in (0, truncation, 1)
    )
    assert far - still == pytest.approx(truncation * (full - still), abs=1e-5)


def test_noise_at_full_truncation_has_its_share_of_the_anchors_spread() -> None:
    noise = RNG.standard_normal((20_000, 9)).astype(np.float32)
    moved = (noise @ BASIS) / TABLE.std(axis=0)
    assert float(np.sqrt(np.square(moved).mean())) == pytest.approx(NOISE_SPREAD, rel=0.02)


def test_the_directions_of_noise_are_orthogonal_before_the_stretch_and_always_the_same() -> None:
    directions = BASIS / TABLE.std(axis=0)
    gram = directions @ directions.T
    assert gram == pytest.approx(np.eye(9) * gram[0, 0], abs=1e-5)
    assert np.array_equal(BASIS, noise_basis(TABLE, 9))


@pytest.mark.parametrize("size", [0, 13])
def test_a_noise_size_that_the_latents_cannot_hold_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"noise size is {size}; choose 1 to the latent size, 12"):
        noise_basis(TABLE, size)
