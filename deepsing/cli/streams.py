"""The three standard streams as a command needs them: there, able to print any file name, and never in the way.

What a command is asked for goes to standard output, so that a full disk there is a failure. Standard error takes
progress and messages: a story must not be lost because nobody can read them.
"""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["OutputError", "check_output", "prepare_streams"]

STDIN, STDOUT, STDERR = 0, 1, 2


class OutputError(OSError):
    """Standard output cannot be written to."""


def prepare_streams() -> None:
    """Opens the streams that are closed, on the null device, and makes the others print whatever they are given.

    A closed one would have its number taken by the next file that is opened, which would then get what is printed.
    """
    for number in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            os.set_inheritable(opened, True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(STDOUT, "w", closefd=False)
    if sys.stderr is None or sys.stderr is sys.__stderr__:  # not one that a test has put there
        sys.stderr = _open_lossy(STDERR, getattr(sys.stderr, "encoding", "utf-8"))
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # lets a stream print file names that the terminal's encoding cannot spell
            reconfigure(errors="backslashreplace")


@contextmanager
def check_output() -> Iterator[None]:
    """Writes out what was printed when the context is left, also by SystemExit.

    Raises:
        BrokenPipeError: the reader of standard output, such as `head`, has ended.
        OutputError: it cannot be written to, for example because its disk is full.
    """
    try:
        try:
            yield
        except SystemExit:  # of --help and --version
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        raise
    except OSError as error:
        if _is_writable():
            raise
        _discard_output()
        raise OutputError(error.errno, error.strerror, "standard output") from None


def _is_writable() -> bool:
    """Whether what still waits for standard output can be written; what failed before waits there."""
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _discard_output() -> None:
    """Leads standard output nowhere, so that nothing fails once more when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


class _LossyFile(io.RawIOBase):
    """Writes to a descriptor and leaves out what cannot be written."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # a buffer
        piece = bytes(data)
        try:
            return os.write(self._number, piece)
        except OSError:
            return len(piece)


def _open_lossy(number: int, encoding: str) -> io.TextIOWrapper:
    raw = io.BufferedWriter(_LossyFile(number))
    return io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace", line_buffering=True)
