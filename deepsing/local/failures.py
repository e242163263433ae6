"""Failures of a command and the exit status that each means."""

from deepsing.client.errors import Refused
from deepsing.runtime.settings import SettingsError

__all__ = ["CommandError", "exit_status", "missing_extra", "USAGE", "FAILURE", "INTERRUPTED"]

FAILURE = 1  # a service or the machine
USAGE = 2  # what was asked for
INTERRUPTED = 128  # plus the signal's number: Ctrl-C is 130

USAGE_ERRORS = (
    SettingsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    FileExistsError,
)


class CommandError(Exception):
    """A command cannot go on.

    Args:
        message: one line for a person, with the way out.
        status: what the process exits with.
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
    """Tells whose fault a failure is: USAGE where other arguments would help, else FAILURE."""
    if isinstance(error, CommandError):
        return error.status
    return USAGE if isinstance(error, (Refused, *USAGE_ERRORS)) else FAILURE
