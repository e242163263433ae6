"""Reads named pipes and devices without blocking: their writer may come late or never, and reading can be cancelled."""

import asyncio
import os
from collections.abc import AsyncGenerator

__all__ = ["read_pipe"]


async def read_pipe(path: str | os.PathLike[str], piece_bytes: int) -> AsyncGenerator[bytes, None]:
    """Yields what comes through a pipe or from a device, until its writers have closed it.

    Args:
        path: of the pipe; it is opened once.
        piece_bytes: most bytes of a piece.

    Raises:
        OSError: it cannot be opened or read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        while True:
            await _wait_until_readable(descriptor)
            try:
                piece = os.read(descriptor, piece_bytes)
            except BlockingIOError:  # another reader was faster
                continue
            if not piece:
                return
            yield piece
    finally:
        os.close(descriptor)


async def _wait_until_readable(descriptor: int) -> None:
    """Waits for bytes, or for the last writer to close; a pipe that has had no writer yet has neither."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:  # a device that cannot be waited for, such as /dev/zero, is always ready
        await asyncio.sleep(0)
        return
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
