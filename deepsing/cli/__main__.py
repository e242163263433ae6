"""Entry of the `deepsing` command, and its arguments."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from deepsing.cli import keys, listings, live, models, probe, render, stories, storyboard, up
from deepsing.cli import top as top_command
from deepsing.cli.entry import run_command
from deepsing.cli.hand_over import CHOICES, exec_program
from deepsing.cli.verbs import add_command
from deepsing.local.failures import USAGE, CommandError

__all__ = ["build_parser", "main"]

EXAMPLES = """examples:
  deepsing render song.mp3 story.mp4
  deepsing render song.mp3 story.mp4 --size 16:9 --style auto --seed 7
  deepsing live song.mp3 --view 8000
  deepsing storyboard song.mp3
  deepsing probe song.mp3 --json
  deepsing up
  deepsing engine make my-pictures/ --name mine
  deepsing eval audio --data DIR --json
"""
PASSED_ON = {
    "eval": ("measure a model on rated data", "deepsing eval audio --data DIR --json"),
    "train": ("train a model", "deepsing train audio --data DIR"),
    "engine": ("make an engine of your own pictures", "deepsing engine make my-pictures/ --name mine"),
}


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, as every other failure is reported."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message}; see {self.prog} --help", USAGE)


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser; the namespace it fills has `run`, which takes the namespace and returns an exit status."""
    top = _Parser(
        prog="deepsing",
        description="Turns a song into a visual story whose pictures feel the way the song feels.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"deepsing {_read_version()}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, what: str, epilog: str) -> argparse.ArgumentParser:
        return add_command(commands, name, what, epilog)

    render.add_arguments(command("render", "turn a song into a story", render.EXAMPLES))
    render.add_again_arguments(command("again", "make a story once more from its manifest", render.AGAIN_EXAMPLES))
    live.add_arguments(command("live", "turn sound into pictures while it plays", live.EXAMPLES))
    probe.add_arguments(command("probe", "print the facts of a song and what its story would cost", probe.EXAMPLES))
    storyboard.add_arguments(command("storyboard", "show a story's keys before it is rendered", storyboard.EXAMPLES))
    up.add_arguments(command("up", "run all four services on this machine until Ctrl-C", up.EXAMPLES))
    top_command.add_arguments(command("top", "show what running services are doing", top_command.EXAMPLES))
    for name in listings.LISTINGS:
        listings.add_listing(commands, name)
    models.add_arguments(command("models", "list and fetch engines in addition to the built-in one", models.EXAMPLES))
    keys.add_arguments(command("keys", "make, list and revoke API keys", keys.EXAMPLES))
    stories.add_arguments(command("stories", "render stories in the background and store them", stories.EXAMPLES))
    for name, (what, example) in PASSED_ON.items():
        lines = "".join(f"  {choice:<16} {sentence}\n" for choice, sentence in CHOICES[name].items())
        epilog = f"what:\n{lines}\nexamples:\n  {example}\n  deepsing {name} {next(iter(CHOICES[name]))} --help\n"
        command(name, what, epilog).add_argument("what", choices=list(CHOICES[name]))
    command("bench", "measure speed and memory; all arguments go to the benchmark", "example:\n  deepsing bench\n")
    return top


def _read_version() -> str:
    try:
        return version("deepsing")
    except PackageNotFoundError:  # run from a folder that was never installed
        return "(not installed)"


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
