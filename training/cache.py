"""Arrays that take long to compute, kept in files, so that a run that was stopped goes on where it was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["load_or_compute"]


def load_or_compute(path: Path | None, compute: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
    """Reads an array from a file, or computes it and writes it there.

    Args:
        path: a .npy file; it is written in one rename, and its folder made. None computes only.
        compute: makes the array.
    """
    if path is not None and path.is_file():
        return np.asarray(np.load(path, allow_pickle=False))
    array = compute()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, array)
        unfinished.replace(path)
    return array
