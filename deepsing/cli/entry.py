"""What every program of the command line shares: failures are printed as one line, and any file name can be printed."""

import os
import sys
from collections.abc import Callable

from deepsing.cli.streams import check_output, prepare_streams
from deepsing.client.errors import DeepsingError
from deepsing.local.failures import INTERRUPTED, CommandError, exit_status
from deepsing.runtime.settings import SettingsError

__all__ = ["run_command"]

SIGINT = 2
SIGPIPE = 13


def run_command(work: Callable[[], int]) -> int:
    """Does the work of a program and returns its exit status; an expected failure is printed as one line."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # keeps gRPC's own lines off standard error when a service stops
    prepare_streams()
    try:
        with check_output():
            return work()
    except KeyboardInterrupt:
        return INTERRUPTED + SIGINT
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        return INTERRUPTED + SIGPIPE
    except (CommandError, DeepsingError, SettingsError, OSError) as error:
        print(f"deepsing: {_format_error(error)}", file=sys.stderr)
        return exit_status(error)


def _format_error(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{name}{error.strerror[0].lower()}{error.strerror[1:]}"
    return " ".join(str(error).split())
