"""Returns freed memory to the system, which glibc and the garbage collector would keep for long."""

import asyncio
import ctypes
import gc
import os

__all__ = ["collect_periodically", "share_arenas"]

ARENAS, M_ARENA_MAX = 2, -8  # the number of the option is that of <malloc.h>
COLLECT_EVERY_S = 30.0


def share_arenas() -> None:
    """Limits glibc to two arenas instead of eight per core; call it early. MALLOC_ARENA_MAX overrides it."""
    if "MALLOC_ARENA_MAX" not in os.environ:
        _call_glibc("mallopt", M_ARENA_MAX, ARENAS)


async def collect_periodically() -> None:
    """Collects garbage every 30 s: cycles of ended sessions hold decoders and encoders whose size Python cannot see."""
    gc.freeze()  # objects made at start stay alive, so they need not be examined each time
    while True:
        await asyncio.sleep(COLLECT_EVERY_S)
        gc.collect()
        await asyncio.to_thread(_call_glibc, "malloc_trim", 0)


def _call_glibc(name: str, *arguments: int) -> None:
    """Calls a function of glibc; does nothing with another C library."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
