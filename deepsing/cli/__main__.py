"""Entry of the `deepsing` command."""

import sys
from collections.abc import Sequence

from deepsing.cli.entry import entered
from deepsing.cli.hand_over import hand_over
from deepsing.cli.parser import parser

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)

    def work() -> int:
        hand_over(words)
        namespace = parser().parse_args(words)
        status: int = namespace.run(namespace)
        return status

    return entered(work)


if __name__ == "__main__":
    raise SystemExit(main())
