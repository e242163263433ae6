"""Errors of commands, and the exit status that each leads to."""

import errno

from deepsing.client.errors import Refused
from deepsing.runtime.settings import SettingsError

__all__ = ["CommandError", "exit_status", "missing_extra", "USAGE", "FAILURE", "INTERRUPTED"]

FAILURE = 1  # a service or the machine failed
USAGE = 2  # the request is wrong
INTERRUPTED = 128  # plus the signal's number: Ctrl-C is 130

USAGE_ERRORS = (
    SettingsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    FileExistsError,
)
USAGE_NUMBERS = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENXIO, errno.EROFS)  # of an OSError: a bad name


class CommandError(Exception):
    """A failure that is reported to a person in one line.

    Args:
        message: what is wrong and what to do about it.
        status: exit status of the process.
    """

    def __init__(self, message: str, status: int = FAILURE) -> None:
        super().__init__(message)
        self.status = status


def missing_extra(what: str, *extras: str) -> CommandError:
    """Returns the error for a package that is not installed, with how to install it.

    deepsing is on no package index, so the way out names a clone and the file of a wheel.

    Args:
        what: needs the package, for example "s3:// needs boto3".
        extras: of deepsing that bring it, for example "s3".
    """
    names = ",".join(extras)
    ways = f"pip install -e '.[{names}]' in a clone, or pip install 'deepsing-VERSION-py3-none-any.whl[{names}]'"
    return CommandError(f"{what}; run {ways}", USAGE)


def exit_status(error: Exception) -> int:
    """Returns the exit status for an error: USAGE where another request would help, else FAILURE."""
    if isinstance(error, CommandError):
        return error.status
    if isinstance(error, OSError) and error.errno in USAGE_NUMBERS:
        return USAGE
    return USAGE if isinstance(error, (Refused, *USAGE_ERRORS)) else FAILURE
