"""What every program of the command line shares: failures are printed as one line, and any file name can be printed."""

import os
import sys
from collections.abc import Callable
from typing import TextIO

from deepsing.client.errors import DeepsingError
from deepsing.local.failures import INTERRUPTED, CommandError, exit_status
from deepsing.runtime.settings import SettingsError

__all__ = ["run_command"]

SIGINT = 2
SIGPIPE = 13


def run_command(work: Callable[[], int]) -> int:
    """Does the work of a program and returns its exit status; an expected failure is printed as one line."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # keeps gRPC's own lines off standard error when a service stops
    for stream in (sys.stdout, sys.stderr):
        _allow_any_name(stream)
    try:
        status = work()
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED + SIGINT
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED + SIGPIPE
    except (CommandError, DeepsingError, SettingsError, OSError) as error:
        print(f"deepsing: {_format_error(error)}", file=sys.stderr)
        return exit_status(error)


def _format_error(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{name}{error.strerror[0].lower()}{error.strerror[1:]}"
    return " ".join(str(error).split())


def _allow_any_name(stream: TextIO) -> None:
    """Lets a stream print file names that the terminal's encoding cannot spell."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")
