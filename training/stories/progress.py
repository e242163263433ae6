"""What the programs that make many stories share: the songs of a folder, and news of how far they are."""

import sys
from pathlib import Path

from deepsing.local.failures import USAGE, CommandError

__all__ = ["find_songs", "format_duration", "print_nothing", "print_progress"]


def find_songs(folder: Path) -> list[Path]:
    """All files in a folder and below, in order of their names; raises CommandError if there are none."""
    if not folder.is_dir():
        raise CommandError(f"{folder} is no folder; say where the songs are", USAGE)
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not found:
        raise CommandError(f"{folder} has no files; say where the songs are", USAGE)
    return found


def format_duration(seconds: float) -> str:
    """A length of time in words, roughly."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def print_progress(message: object) -> None:
    """Prints a line of news on standard error."""
    sys.stderr.write(f"deepsing: {message}\n")


def print_nothing(message: object) -> None:
    """With --json nothing but the report is printed."""
