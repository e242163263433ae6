"""All commands of the command line, read from its parsers."""

import argparse
from collections.abc import Iterator

from deepsing.cli.__main__ import build_parser

__all__ = ["list_commands", "walk_parsers"]


def walk_parsers(parser: argparse.ArgumentParser | None = None) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yields the words and the help page of each command, the top one first, verbs such as `keys add` among them."""
    parser = parser or build_parser()
    yield tuple(parser.prog.split()[1:]), parser.format_help()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from walk_parsers(below)


def list_commands() -> list[tuple[str, ...]]:
    """The words of each command."""
    return [words for words, _ in walk_parsers()]
