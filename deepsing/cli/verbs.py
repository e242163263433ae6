"""Parsers of commands and of their verbs, all with a description and examples."""

import argparse
from typing import Any

__all__ = ["add_command", "add_verb"]


def add_command(commands: Any, name: str, what: str, epilog: str) -> argparse.ArgumentParser:
    """Adds a command to the parsers below another.

    Args:
        commands: what `ArgumentParser.add_subparsers` returned.
        name: of the command.
        what: it does, as a sentence without its capital and full stop.
        epilog: examples and what else there is to say, printed as it is.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


def add_verb(verbs: Any, name: str, what: str, *examples: str) -> argparse.ArgumentParser:
    """Adds a verb of a command, such as `keys add`, with examples that are given without the word "deepsing"."""
    lines = "\n".join(f"  deepsing {example}" for example in examples)
    return add_command(verbs, name, what, f"example{'s' * (len(examples) > 1)}:\n{lines}\n")
