"""Warns of files of access control that others than their owner can change or read."""

import logging
import stat
from collections.abc import Iterable
from pathlib import Path

__all__ = ["warn_of_open_files"]

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
logger = logging.getLogger(__name__)


def warn_of_open_files(paths: Iterable[Path], *, secret: bool = False) -> None:
    """Logs a warning for each file that its group or everybody may write, or whose folder everybody may write.

    Whoever can change it, or put another in its place, can let himself in.

    Args:
        paths: of files that were read.
        secret: whether the files are secret: then also one that everybody may read is warned of.
    """
    for path in paths:
        if warning := _find_fault(path, secret=secret):
            logger.warning("%s", warning)


def _find_fault(path: Path, *, secret: bool) -> str:
    try:
        mode, folder = path.stat().st_mode, path.resolve().parent
        folder_mode = folder.stat().st_mode
    except OSError:  # reading it says what is wrong
        return ""
    if not stat.S_ISREG(mode):
        return ""
    shown = f"{path} has mode {stat.S_IMODE(mode):o}"
    if mode & OTHERS_WRITE:
        return f"{shown}: others may change it, and let themselves in; run: chmod go-w {path}"
    if folder_mode & stat.S_IWOTH and not folder_mode & stat.S_ISVTX:
        return f"{path} can be replaced by everybody, who may write in its folder; run: chmod o-w {folder}"
    if secret and mode & stat.S_IROTH:
        return f"{shown}: everybody may read the secret in it; run: chmod o-r {path}"
    return ""
