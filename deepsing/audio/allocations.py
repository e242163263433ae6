"""Bounds what FFmpeg allocates at once: a forged packet or tag may claim any size, and PyAV has no option for it."""

import ctypes
from pathlib import Path

import av

__all__ = ["MAX_BYTES", "limit_allocations"]

MAX_BYTES = 64 * 2**20  # the largest honest ones are pictures in tags, and frames of 1920 x 1920 pixels: 11 MiB
FOLDERS = ("av.libs", "av/.dylibs")  # of wheels, on Linux and macOS


def limit_allocations() -> bool:
    """Makes larger allocations of this process's FFmpeg fail, as if memory had run out.

    Returns:
        False where PyAV has no FFmpeg of its own, which a system's may share with others.
    """
    site = Path(av.__file__).parents[1]
    found = [path for folder in FOLDERS for path in (site / folder).glob("libavutil*")]
    if not found:
        return False
    ctypes.CDLL(str(found[0])).av_max_alloc(ctypes.c_size_t(MAX_BYTES))
    return True
