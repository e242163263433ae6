"""Checks the limits of a batch, as the contract states them; each error gives the rule, the value and the way out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["LimitError", "parse_class_weights", "parse_noise", "parse_style_weights", "require"]

F32 = npt.NDArray[np.float32]

SUM_TOLERANCE = 1e-3  # of a row of weights
NOISE_REACH = 10.0  # largest magnitude of a value


class LimitError(ValueError):
    """A request breaks a rule; `reason` is a name of the contract's ErrorReason without its prefix."""

    def __init__(self, message: str, reason: str, field: str, value: object) -> None:
        super().__init__(message)
        self.reason, self.field, self.value = reason, field, value


def require(holds: bool, message: str, reason: str, field: str, value: object) -> None:
    """Raises LimitError unless the rule holds."""
    if not holds:
        raise LimitError(message, reason, field, value)


def parse_class_weights(values: Iterable[float], count: int, size: int) -> F32:
    """Class weights, rows on the simplex: (count, size)."""
    rows = _reshape_rows(values, count, size, "class_weights", "CLASS_WEIGHTS_SHAPE", may_be_empty=False)
    sums = rows.sum(axis=1, dtype=np.float64)
    right = ((rows >= 0) & (rows <= 1)).all(axis=1) & (np.abs(sums - 1) <= SUM_TOLERANCE)
    if not right.all():
        row = int(right.argmin())
        raise LimitError(
            f"class weights of picture {row} {_describe(rows[row], sums[row])}; send rows in [0, 1] that sum to 1",
            "CLASS_WEIGHTS_NOT_SIMPLEX",
            f"class_weights[{row}]",
            f"{sums[row]:g}",
        )
    return rows


def parse_noise(values: Iterable[float], count: int, size: int) -> F32:
    """Noise vectors, zeros if none are given: (count, size)."""
    rows = _reshape_rows(values, count, size, "noise", "NOISE_SHAPE", may_be_empty=True)
    wrong = ~(np.abs(rows) <= NOISE_REACH)  # NaN counts as wrong
    if wrong.any():
        row, place = (int(index) for index in np.argwhere(wrong)[0])
        value = f"{rows[row, place]:g}"
        message = f"noise of picture {row} holds {value}; send finite values from -10 to 10"
        raise LimitError(message, "NOISE_OUT_OF_RANGE", f"noise[{row}]", value)
    return rows


def parse_style_weights(values: Iterable[float], count: int, size: int) -> F32:
    """Style weights, rows that sum to at most 1, zeros if none are given: (count, size)."""
    rows = _reshape_rows(values, count, size, "style_weights", "STYLE_WEIGHTS_SHAPE", may_be_empty=True)
    sums = rows.sum(axis=1, dtype=np.float64)
    right = ((rows >= 0) & (rows <= 1)).all(axis=1) & (sums <= 1 + SUM_TOLERANCE)
    if not right.all():
        row = int(right.argmin())
        raise LimitError(
            f"style weights of picture {row} {_describe(rows[row], sums[row])}; "
            "send rows in [0, 1] that sum to at most 1",
            "STYLE_WEIGHTS_INVALID",
            f"style_weights[{row}]",
            f"{sums[row]:g}",
        )
    return rows


def _reshape_rows(
    values: Iterable[float], count: int, size: int, field: str, reason: str, *, may_be_empty: bool
) -> F32:
    flat = np.array(values, dtype=np.float32)
    if may_be_empty and not flat.size:
        return np.zeros((count, size), dtype=np.float32)
    if flat.size != count * size:
        way_out = f"send {count} x {size} = {count * size}" + (", or none" if may_be_empty else "")
        raise LimitError(f"{field} has {flat.size} values; {way_out}", reason, field, flat.size)
    return flat.reshape(count, size)


def _describe(row: F32, total: float) -> str:
    wrong = row[~((row >= 0) & (row <= 1))]
    return f"hold {wrong[0]:g}" if len(wrong) else f"sum to {total:g}"
