"""--pictures: makes an engine of a folder of pictures on the way, unless nothing has changed since the last."""

import argparse
import asyncio
import json
from pathlib import Path

from deepsing.local.failures import INTERRUPTED, USAGE, CommandError
from deepsing.local.source import python_command, python_environment, service_root

__all__ = ["add_pictures", "check_pictures", "choose_engine"]

PROGRAM = "training"


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Adds the argument of a command that shows one's own pictures."""
    parser.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="show your own pictures: makes an engine of them first, or takes the last one if nothing has changed; "
        "what is felt at them: see deepsing engine make --help",
    )


def check_pictures(arguments: argparse.Namespace) -> None:
    """Raises what is wrong with --pictures, before anything is started."""
    if arguments.pictures is None:
        return
    if arguments.engine:
        raise CommandError("--pictures makes an engine of its own; leave --engine out, or --pictures", USAGE)
    if arguments.target:
        raise CommandError(
            "--pictures needs services started here; make the engine with deepsing engine make, load it in the "
            f"generator and translator of {arguments.target}, and name it by --engine",
            USAGE,
        )
    if not arguments.pictures.is_dir():
        raise CommandError(f"--pictures is {arguments.pictures}, which is not a folder; give one with pictures", USAGE)


async def choose_engine(arguments: argparse.Namespace) -> None:
    """Makes the engine of --pictures, if they were given, and puts its name where --engine would.

    Raises:
        CommandError: it cannot be made; the program that makes it has said why.
    """
    if arguments.pictures is not None:
        arguments.engine = await _make_engine(arguments.pictures, quiet=arguments.json)


async def _make_engine(pictures: Path, *, quiet: bool) -> str:
    """Makes the engine of a folder of pictures, or finds it, and returns its name.

    The program that makes it says on standard error what it leaves out; it is ended if this is cancelled.

    Args:
        pictures: the folder.
        quiet: show no progress.

    Raises:
        CommandError: it cannot be made; the program has said why.
    """
    root = service_root(PROGRAM, "work in a clone of the repository (see its README)")
    words = ["engine", "make", "--cached", "--json", *(["--quiet"] if quiet else []), "--", str(pictures)]
    command = python_command("-m", PROGRAM, *words)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env=python_environment(root)
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    status = process.returncode or 0
    if status < 0:
        raise CommandError(f"making the engine of {pictures} was ended by signal {-status}", INTERRUPTED - status)
    if status:
        raise CommandError(f"the engine of {pictures} was not made", status)
    name: str = json.loads(said)["name"]
    return name
