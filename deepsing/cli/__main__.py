"""Entry of the `deepsing` command."""

import sys
from collections.abc import Sequence

from deepsing.cli.entry import run_command
from deepsing.cli.hand_over import exec_program
from deepsing.cli.parser import build_parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)

    def work() -> int:
        exec_program(words)
        namespace = build_parser().parse_args(words)
        status: int = namespace.run(namespace)
        return status

    return run_command(work)


if __name__ == "__main__":
    raise SystemExit(main())
