"""The folder for one process's temporary files. Folders that killed processes left behind are deleted."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["ScratchDir"]

PREFIX = "deepsing-composer-"


class ScratchDir:
    """Creates a folder for this process alone, locked as long as the process lives.

    Args:
        parent: where this folder and those of other processes are; None is the system's temporary folder.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        unlocked = Path(tempfile.mkdtemp(prefix="deepsing-", dir=parent))
        self._lock = _try_lock(unlocked)
        self.path = unlocked.rename(parent / f"{PREFIX}{unlocked.name}")  # others look for this name, so lock first
        for other in parent.glob(f"{PREFIX}*"):
            if (lock := _try_lock(other)) is not None:
                shutil.rmtree(other, ignore_errors=True)
                os.close(lock)

    def close(self) -> None:
        """Deletes the folder and its content."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _try_lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None if another process has it, or the folder cannot be opened."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
