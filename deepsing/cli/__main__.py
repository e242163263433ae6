"""Entry of the `deepsing` command."""

import os
import sys
from collections.abc import Sequence
from typing import TextIO

from deepsing.cli.failures import INTERRUPTED, CommandError, exit_status
from deepsing.cli.hand_over import hand_over
from deepsing.cli.parser import parser
from deepsing.client.errors import DeepsingError

__all__ = ["main"]

SIGINT = 2
SIGPIPE = 13


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # a service that stops is no news for standard error
    words = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        _print_any_name(stream)
    try:
        hand_over(words)
        namespace = parser().parse_args(words)
        status: int = namespace.run(namespace)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED + SIGINT
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED + SIGPIPE
    except (CommandError, DeepsingError, OSError) as error:
        print(f"deepsing: {_line(error)}", file=sys.stderr)
        return exit_status(error)


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        name = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{name}{error.strerror[0].lower()}{error.strerror[1:]}"
    return " ".join(str(error).split())


def _print_any_name(stream: TextIO) -> None:
    """Lets file names through that the terminal's encoding does not know."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    raise SystemExit(main())
