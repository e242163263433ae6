"""The folder for one process's temporary files. Folders that killed processes left behind are deleted."""

import os
import shutil
import tempfile
from pathlib import Path

from deepsing.runtime.leftovers import claim, try_lock

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
        claimed = parent / f"{PREFIX}{unlocked.name}"
        self._lock = claim(unlocked, claimed)
        self.path = unlocked if self._lock is None else claimed
        for other in parent.glob(f"{PREFIX}*"):
            if (lock := try_lock(other)) is not None:
                shutil.rmtree(other, ignore_errors=True)
                os.close(lock)

    def close(self) -> None:
        """Deletes the folder and its content."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
