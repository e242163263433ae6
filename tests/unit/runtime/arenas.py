"""Serves until six threads have taken memory side by side, and prints how many malloc arenas there are then."""

import ctypes
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from deepsing.runtime.server import Service, run

THREADS = 6


def _arena_count() -> int:
    """Asks glibc itself."""
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    with tempfile.NamedTemporaryFile() as file:
        stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        return Path(file.name).read_text(encoding="ascii").count("<heap nr=")


async def _open() -> None:
    met = threading.Barrier(THREADS + 1)

    def take() -> None:
        ctypes.CDLL(None).malloc(1000)
        met.wait()  # all live at once

    threads = [threading.Thread(target=take) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    met.wait()
    for thread in threads:
        thread.join()
    sys.stdout.write(f"{_arena_count()}\n")
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    raise SystemExit(run(Service("arenas", "deepsing.test.Arenas", lambda servicer, server: None, _open)))
