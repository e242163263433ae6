"""From the generator's space to latents: THE line that turns class weights and noise into a point to paint.

Source: class vector and truncated noise vector of BigGAN (Brock, Donahue & Simonyan 2019), as deepsing uses them.
Differs: classes are the anchors of an auto-decoder, so the class embedding is a table of their latents; sums run
in one fixed order, whatever the batch, so that equal rows give equal bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["latents_of", "noise_basis"]

F32 = npt.NDArray[np.float32]

NOISE_SPREAD = 0.4  # at truncation 1, noise moves a latent by this share of the anchors' spread; more loses the subject
BASIS_SEED = 160  # of the directions in which noise moves; a part of the engine, never of a story


def latents_of(class_weights: F32, noise: F32, truncation: F32, table: F32, basis: F32) -> F32:
    """Mixes the anchors' latents and adds noise.

    Args:
        class_weights: (N, K), rows on the simplex; a one-hot row gives its anchor exactly.
        noise: (N, Z), of unit variance.
        truncation: (N,), in [0, 1]; 0 is no noise.
        table: (K, D), the anchors' latents.
        basis: (Z, D), from `noise_basis`.

    Returns:
        (N, D); row n depends on row n of the arguments alone, to the last bit.
    """
    rows = zip(class_weights, noise, truncation, strict=True)
    return np.stack([_row(weights, table) + strength * _row(step, basis) for weights, step, strength in rows])


def _row(weights: F32, vectors: F32) -> F32:
    """(M,) and (M, D) → (D,): a weighted sum in the order of the rows, which a BLAS would not promise."""
    used = np.flatnonzero(weights)
    return np.asarray((weights[used, None] * vectors[used]).sum(axis=0), dtype=np.float32)


def noise_basis(table: F32, noise_size: int) -> F32:
    """Makes the directions of noise: orthonormal, then stretched as the anchors spread.

    Args:
        table: (K, D), the anchors' latents.
        noise_size: Z, at most D.

    Returns:
        (Z, D); unit-variance noise through it has `NOISE_SPREAD` times the anchors' standard deviation,
        on average over the dimensions.
    """
    size = table.shape[1]
    if not 1 <= noise_size <= size:
        raise ValueError(f"noise size is {noise_size}; choose 1 to the latent size, {size}")
    gauss = np.random.default_rng(BASIS_SEED).standard_normal((size, noise_size))
    orthonormal = np.linalg.qr(gauss)[0].T
    spread = NOISE_SPREAD * table.std(axis=0) * np.sqrt(size / noise_size)
    basis: F32 = (orthonormal * spread).astype(np.float32)
    return basis
