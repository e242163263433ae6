"""Gives memory that songs have left back to the system; glibc and the garbage collector keep it for long."""

import asyncio
import ctypes
import gc
import os

__all__ = ["collect_periodically", "share_arenas"]

ARENAS, M_ARENA_MAX = 2, -8  # the number of the option is that of <malloc.h>
COLLECT_EVERY_S = 30.0


def share_arenas() -> None:
    """Lets all threads share two of glibc's arenas, not eight a core; call it early. MALLOC_ARENA_MAX goes first."""
    if "MALLOC_ARENA_MAX" not in os.environ:
        _call_glibc("mallopt", M_ARENA_MAX, ARENAS)


async def collect_periodically() -> None:
    """Collects garbage now and then: sessions end in cycles, whose decoders and encoders Python counts as nothing."""
    gc.freeze()  # what a service starts with stays, and need not be looked at each time
    while True:
        await asyncio.sleep(COLLECT_EVERY_S)
        gc.collect()
        await asyncio.to_thread(_call_glibc, "malloc_trim", 0)


def _call_glibc(name: str, *arguments: int) -> None:
    """A function of glibc's; other C libraries do without."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
