"""Finds out which unfinished files a killed process left behind: whoever still lives holds a lock on its own."""

import contextlib
import fcntl
import os
from pathlib import Path

__all__ = ["claim", "take_abandoned", "try_lock"]


def claim(path: Path, claimed: Path) -> int | None:
    """Locks a file or folder of this process and gives it the name by which others look for abandoned ones.

    Under that name it is locked from the first moment, so that nobody takes it for abandoned.

    Args:
        path: as it was created, under a name that nobody looks for.
        claimed: its name from now on, in the same folder.

    Returns:
        A descriptor, to be closed at the end: the lock lasts as long. None where there are no locks; then the file
        keeps its name, and stays if this process is killed.
    """
    lock = try_lock(path)
    if lock is not None:
        path.rename(claimed)
    return lock


def take_abandoned(folder: Path, pattern: str) -> list[Path]:
    """Names what lies in a folder under claimed names whose processes have ended.

    Args:
        folder: where to look.
        pattern: of the claimed names.
    """
    abandoned = []
    with contextlib.suppress(OSError):  # a folder that cannot be listed
        for path in folder.glob(pattern):
            if (lock := try_lock(path)) is not None:
                abandoned.append(path)
                os.close(lock)
    return abandoned


def try_lock(path: Path) -> int | None:
    """A descriptor that holds the lock; None if another process has it, or there are no locks here."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
