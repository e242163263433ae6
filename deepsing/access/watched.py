"""Reloads files that change while they are in use."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

__all__ = ["WatchedFiles"]

Value = TypeVar("Value")
Stamp = tuple[tuple[int, int, int], ...]
logger = logging.getLogger(__name__)


class WatchedFiles(Generic[Value]):
    """A value read from files, and read again when one changes; if that fails, it is logged and the old value kept.

    Args:
        paths: of the files.
        read: reads the value; raises OSError or ValueError if it cannot.
        warn: takes the paths after each reading, to look at their permissions.

    Raises:
        OSError, ValueError: the first read failed.
    """

    def __init__(
        self, paths: Sequence[Path], read: Callable[[], Value], warn: Callable[[Sequence[Path]], None] = lambda _: None
    ) -> None:
        self._paths = paths
        self._read, self._warn = read, warn
        self._lock = threading.Lock()  # TLS calls it from threads of gRPC
        self._stamp = self._stat_files()
        self._value = read()
        warn(paths)

    def value(self) -> Value:
        """Returns the current value."""
        with self._lock:
            stamp = self._stat_files()
            if stamp != self._stamp:
                self._stamp = stamp  # taken before reading: a change in between is noticed next time
                try:
                    self._value = self._read()
                    logger.info("read again: %s", self._format_names())
                    self._warn(self._paths)
                except (OSError, ValueError) as error:
                    logger.error(
                        "%s cannot be used (%s); the previous content stays in force", self._format_names(), error
                    )
            return self._value

    def _stat_files(self) -> Stamp:
        try:
            states = [path.stat() for path in self._paths]
        except OSError:  # reading will say what is wrong
            return ()
        return tuple((state.st_mtime_ns, state.st_ctime_ns, state.st_ino) for state in states)

    def _format_names(self) -> str:
        return ", ".join(map(str, self._paths))
