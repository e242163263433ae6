"""What people see in painted pictures, as numbers: detail, mesh, seams.

Source of the detail measure: comparison of radial power spectra under a Hann window.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["double_exposure", "effective_px", "mesh", "radial_power"]

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

HALF_AMPLITUDE = 0.25  # of the power: a detail that has half its contrast
FIRST_CYCLE = 4  # lower frequencies are not looked at: they are the picture's large shapes
SMOOTHING = 5  # frequencies over which ratios are averaged
PERIODS_PX = (2, 4, 8, 16)  # of the grids on which engines paint
FLAT = 3.0  # grey levels between neighbours of the original, up to which a mesh would be seen
UNLIKE = 24.0  # grey levels by which two pictures must differ for a mixture of both to be told from either
BLENDED = (0.2, 0.8)  # a place between these shares is a double exposure


def radial_power(pictures: U8) -> F64:
    """Power by frequency, cycles per picture: squares (N, S, S, 3) → (N, S / 2 + 1)."""
    side = pictures.shape[1]
    window = np.outer(np.hanning(side), np.hanning(side))
    axis = np.arange(side) - side // 2
    bins = np.minimum(np.rint(np.hypot(axis[:, None], axis[None])).astype(int), side // 2).ravel()
    powers = []
    for picture in pictures:
        grey = picture.mean(axis=2)
        spectrum = np.fft.fftshift(np.fft.fft2((grey - grey.mean()) * window))
        powers.append(np.bincount(bins, np.square(np.abs(spectrum)).ravel(), side // 2 + 1))
    return np.stack(powers)


def effective_px(made: U8, real: U8) -> int:
    """How many pixels of detail pictures hold: as many as a perfect picture would need for it.

    Args:
        made: squares (N, S, S, 3).
        real: what they should be.

    Returns:
        Twice the frequency at which the median of power, against the originals, falls below that of half the
        amplitude; S if it never does.
    """
    ratio = np.median(radial_power(made) / (radial_power(real) + 1e-9), axis=0)
    smooth = np.convolve(ratio, np.ones(SMOOTHING) / SMOOTHING, "same")[FIRST_CYCLE : -SMOOTHING // 2]
    below = np.nonzero(smooth < HALF_AMPLITUDE)[0]
    return 2 * (int(below[0]) + FIRST_CYCLE) if len(below) else made.shape[1]


def mesh(made: U8, real: U8) -> dict[int, float]:
    """How strongly the grid shows on which pictures are painted, where the originals are flat.

    Args:
        made: (N, H, W, 3).
        real: the same.

    Returns:
        By period, px: the mean step between neighbours across the grid's lines over that between them, divided by
        the same of the originals. 1 is no mesh; above it lines show, below it pixels come in equal groups.
    """
    found = {}
    steps = [_flat_steps(made, real, axis) for axis in (1, 2)]
    for period in PERIODS_PX:
        ratios = []
        for of_made, of_real, flat in steps:
            lines = (np.arange(of_made.shape[1]) + 1) % period == 0
            ratios.append(_line_ratio(of_made, flat, lines) / _line_ratio(of_real, flat, lines))
        found[period] = float(np.mean(ratios))
    return found


def _flat_steps(made: U8, real: U8, axis: int) -> tuple[F64, F64, F64]:
    """Steps between neighbours along an axis, laid along axis 1, of both; and 1 where the original is flat."""
    greys = [np.moveaxis(pictures.mean(axis=3), axis, 1) for pictures in (made, real)]
    of_made, of_real = (np.abs(np.diff(grey, axis=1)) for grey in greys)
    return of_made, of_real, (of_real < FLAT).astype(np.float64)


def _line_ratio(steps: F64, flat: F64, lines: NDArray[np.bool_]) -> float:
    across = (steps[:, lines] * flat[:, lines]).sum() / max(flat[:, lines].sum(), 1)
    between = (steps[:, ~lines] * flat[:, ~lines]).sum() / max(flat[:, ~lines].sum(), 1)
    return float((across + 1e-3) / (between + 1e-3))


def double_exposure(first: U8, halfway: NDArray[np.generic], last: U8) -> F64:
    """How much of a picture half-way between two others is a double exposure of both.

    Args:
        first: (N, H, W, 3).
        halfway: (N, H, W, 3).
        last: (N, H, W, 3).

    Returns:
        (N,): of the places where the ends are unlike, the share that is neither of them; 1 for a cross-fade.
    """
    start, middle, end = (pictures.astype(np.float64) for pictures in (first, halfway, last))
    way = end - start
    length = np.square(way).sum(axis=3)
    share = ((middle - start) * way).sum(axis=3) / np.maximum(length, 1)
    unlike = length > 3 * UNLIKE**2
    blended = unlike & (share > BLENDED[0]) & (share < BLENDED[1])
    return np.asarray(blended.sum(axis=(1, 2)) / np.maximum(unlike.sum(axis=(1, 2)), 1))
