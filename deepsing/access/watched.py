"""Files that may change while they are used."""

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
    """What files say, read again when one of them changes; a change that makes no sense is logged and not used.

    Args:
        paths: of the files.
        read: makes the value of them; raises OSError or ValueError where they make no sense.

    Raises:
        OSError, ValueError: they make no sense at first.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], Value]) -> None:
        self._paths = paths
        self._read = read
        self._lock = threading.Lock()  # TLS asks from gRPC's threads
        self._stamp = self._stat_files()
        self._value = read()

    def value(self) -> Value:
        """What the files say now, or last said."""
        with self._lock:
            stamp = self._stat_files()
            if stamp != self._stamp:
                self._stamp = stamp  # of before they are read: a change in between is seen the next time
                try:
                    self._value = self._read()
                    logger.info("read again: %s", self._format_names())
                except (OSError, ValueError) as error:
                    logger.error("%s cannot be used (%s); what was there before holds", self._format_names(), error)
            return self._value

    def _stat_files(self) -> Stamp:
        try:
            states = [path.stat() for path in self._paths]
        except OSError:  # reading them says what is wrong
            return ()
        return tuple((state.st_mtime_ns, state.st_ctime_ns, state.st_ino) for state in states)

    def _format_names(self) -> str:
        return ", ".join(map(str, self._paths))
