"""Keeps freed memory from lying idle in a heap for each thread."""

import ctypes
import os
import sys

__all__ = ["share_arenas"]

ARENAS = 2
M_ARENA_MAX = -8  # <malloc.h>


def share_arenas() -> None:
    """Lets all threads of this process share two of glibc's malloc arenas; call it before there are many threads.

    By default each thread gets one, up to eight for each processor, and keeps what its largest song took. Where
    MALLOC_ARENA_MAX is set the operator has chosen; other C libraries, or another malloc, are left as they are.
    """
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_ARENA_MAX, ARENAS)
