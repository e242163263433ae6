"""What the programs that make many stories share: options, the songs of a folder, and news of how far they are."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from deepsing.cli.composer import add_arguments
from deepsing.local.failures import USAGE, CommandError

__all__ = [
    "SongCount",
    "add_song_options",
    "find_songs",
    "print_nothing",
    "print_progress",
    "write_table",
]


def add_song_options(parser: argparse.ArgumentParser, fps: str) -> None:
    """Adds the folder of songs, what all stories of it have in common, and where the composer is.

    Args:
        parser: of the program.
        fps: frames a second unless said otherwise.
    """
    parser.add_argument(
        "--songs", type=Path, required=True, metavar="DIR", help="every file in it, and below, is tried"
    )
    parser.add_argument("--engine", default="", metavar="NAME", help="which generator (default: the built-in one)")
    parser.add_argument("--style", default="none", metavar="NAME", help="none (default), auto, or see deepsing styles")
    parser.add_argument("--limit-s", type=float, metavar="N", help="of each song only N seconds")
    parser.add_argument("--fps", default=fps, metavar="RATE", help=f"frames a second (default: {fps})")
    parser.add_argument("--size", metavar="SIZE", help="of the frames (default: the engine's)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides every random choice (default: 0)")
    add_arguments(parser)


def find_songs(folder: Path) -> list[Path]:
    """All files in a folder and below, in order of their names; raises CommandError if there are none."""
    if not folder.is_dir():
        raise CommandError(f"{folder} is no folder; say where the songs are", USAGE)
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not found:
        raise CommandError(f"{folder} has no files; say where the songs are", USAGE)
    return found


class SongCount:
    """Counts songs that are done, and says how far the program is.

    Args:
        songs: how many there are.
    """

    def __init__(self, songs: int) -> None:
        self._songs, self._done, self._began_s = songs, 0, time.monotonic()

    def finish_song(self, news: str) -> str:
        """A line for one more song: how many are done, the time that the others will take, and news of it."""
        self._done += 1
        left_s = (time.monotonic() - self._began_s) / self._done * (self._songs - self._done)
        left = f"{left_s / 60:.0f} min" if left_s >= 90 else f"{left_s:.0f} s"
        return f"{self._done} of {self._songs} songs, {left} left: {news}"


def write_table(table: str, skipped: Mapping[str, str]) -> None:
    """Prints a table, and below it which songs are not in it, and why."""
    sys.stdout.write(table + "\n")
    for name, why in skipped.items():
        sys.stdout.write(f"skipped: {name}: {why}\n")


def print_progress(message: object) -> None:
    """Prints a line of news on standard error."""
    sys.stderr.write(f"deepsing: {message}\n")


def print_nothing(message: object) -> None:
    """With --json nothing but the report is printed."""
