"""Where one process keeps songs and files while it needs them; what killed processes left there is cleared away."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["ScratchDir"]

PREFIX = "deepsing-composer-"


class ScratchDir:
    """A folder of this process's own, locked for as long as the process lives.

    Args:
        parent: of this folder and those of other processes; None is the place for temporary files.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        unlocked = Path(tempfile.mkdtemp(prefix="deepsing-", dir=parent))
        self._lock = _try_lock(unlocked)
        self.path = unlocked.rename(parent / f"{PREFIX}{unlocked.name}")  # is seen by others only once it is locked
        for other in parent.glob(f"{PREFIX}*"):
            if (lock := _try_lock(other)) is not None:
                shutil.rmtree(other, ignore_errors=True)
                os.close(lock)

    def close(self) -> None:
        """Removes the folder with all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _try_lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None where a living process has it, or it is not ours."""
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
