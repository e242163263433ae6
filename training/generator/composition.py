"""Turns class weights into shares: which concept shows at which place of a picture.

A plain average of two anchors looks like a double exposure. Here every place goes mostly to one of them: to the one
that has more to show there (its field), as far as the class weights allow. While a weight grows, its concept spreads
over the picture from the places where it is strongest, and the decoder paints the seams.
"""

import numpy as np
import numpy.typing as npt
from torch import Tensor

__all__ = ["FIELD_PX", "SLOTS", "noise_basis", "concept_shares"]

SLOTS = 4  # concepts of one picture at most; a path between two pairs has four
FIELD_PX = 32  # side of fields and shares
SHARPNESS = 16.0  # of the choice by field: at equal weights a lead of 1/8 gives a place to its concept by 88 %
FIRMNESS = 4.0  # exponent of the weights: with it a concept's area is about its weight
NOISE_SPREAD = 0.4  # at truncation 1, noise moves a latent by this share of the anchors' spread; more loses the subject
BASIS_SEED = 160  # of the directions in which noise moves; a part of the engine, never of a story


def concept_shares(class_weights: Tensor, fields: Tensor) -> tuple[Tensor, Tensor]:
    """Chooses the concepts of each picture and says how much of each shows where.

    Continuous in the weights; a one-hot row gives its concept the whole picture. Weights beyond the `SLOTS` largest
    are left out.

    Args:
        class_weights: (N, K), rows on the simplex.
        fields: (K, FIELD_PX, FIELD_PX), in [0, 1]: how much each anchor has to show at each place.

    Returns:
        The slots' concepts (N, M), the strongest first, M = min(K, SLOTS); and their shares
        (N, M, FIELD_PX, FIELD_PX), which sum to 1 over the slots at each place.
    """
    weights, chosen = class_weights.topk(min(SLOTS, len(fields)), dim=1)
    leads = FIRMNESS * weights.log()  # no weight: minus infinity, so no share
    return chosen, (leads[:, :, None, None] + SHARPNESS * fields[chosen]).softmax(dim=1)


def noise_basis(table: npt.NDArray[np.float32], noise_size: int) -> npt.NDArray[np.float32]:
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
    return np.asarray(orthonormal * spread, dtype=np.float32)
