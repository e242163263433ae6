"""What can be measured on an engine's pictures without asking anybody what they feel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["checkerboard", "halfway_contrast", "psnr_db"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]


def psnr_db(made: U8, real: U8) -> npt.NDArray[np.float64]:
    """Peak signal-to-noise ratio of each picture, dB: (N, H, W, 3) twice → (N,)."""
    error = np.square(made.astype(np.float64) - real).mean(axis=(1, 2, 3))
    return np.asarray(10 * np.log10(255.0**2 / np.maximum(error, 1e-3)))


def checkerboard(pictures: U8) -> float:
    """How far pixels know whether they are odd or even; photos give about 1.

    Returns:
        Energy of the pattern + − / − + in 2 × 2 blocks that start at even pixels, divided by the same in blocks
        that start at odd ones: above 1 there is a checkerboard, far below 1 pixels come in equal pairs.
    """
    light = pictures.astype(np.float32).mean(axis=3)
    even, odd = (_pattern_energy(light[:, start:, start:]) for start in (0, 1))
    return even / max(odd, 1e-9)


def _pattern_energy(light: F32) -> float:
    height, width = light.shape[1] // 2 * 2, light.shape[2] // 2 * 2
    light = light[:, :height, :width]
    pattern = light[:, ::2, ::2] - light[:, ::2, 1::2] - light[:, 1::2, ::2] + light[:, 1::2, 1::2]
    return float(np.square(pattern).mean())


def halfway_contrast(first: U8, halfway: npt.NDArray[np.generic], last: U8) -> F64:
    """How much fine contrast a picture half-way between two others keeps of theirs.

    A double exposure loses much of it; near 1 is a picture of its own.

    Args:
        first: (N, H, W, 3).
        halfway: (N, H, W, 3).
        last: (N, H, W, 3).

    Returns:
        (N,): mean difference between neighbouring pixels half-way, divided by its mean at the two ends.
    """
    return 2 * _roughness(halfway) / (_roughness(first) + _roughness(last))


def _roughness(pictures: npt.NDArray[np.generic]) -> F64:
    """(N, H, W, 3) → (N,): mean absolute difference between neighbours in a row and in a column."""
    light = pictures.astype(np.float64).mean(axis=3)
    across, down = (np.abs(np.diff(light, axis=axis)).mean(axis=(1, 2)) for axis in (2, 1))
    return np.asarray(across + down)
