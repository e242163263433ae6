"""Values of arguments that several commands take; what cannot be meant is refused while the arguments are read."""

import argparse

from deepsing.client.errors import Refused
from deepsing.client.ranges import check_target, check_timeout

__all__ = ["parse_file_name", "parse_port", "parse_target", "parse_timeout"]

LAST_PORT = 65_535


def parse_timeout(text: str) -> float | None:
    """Reads a limit of time, seconds."""
    try:
        return check_timeout(float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds; choose one above 0") from None
    except Refused as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_target(text: str) -> str:
    """Reads where a service runs."""
    try:
        return check_target(text)
    except Refused as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_port(text: str) -> int:
    """Reads a port to serve at; 0 is any free one."""
    if not text.isdecimal() or int(text[:9]) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; choose 0 to {LAST_PORT}")
    return int(text)


def parse_file_name(text: str) -> str:
    """Reads the name of a file, which must not be empty: that would mean the current folder, or nothing at all."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; give the name of a file")
    return text
