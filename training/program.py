"""What the command lines of all training programs have in common."""

import argparse

__all__ = ["new_parser"]


def new_parser(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser whose help keeps the line breaks of its texts.

    Args:
        prog: the command as users type it, for example "deepsing eval audio".
        description: what the program does.
        epilog: the columns of the tables that it reads, and examples.
    """
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
