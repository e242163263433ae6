"""`python -m training eval audio --data DIR`: runs one of the programs that measure, train and make models.

`deepsing eval`, `train` and `engine` run the same. A program is imported when it is asked for, and what it needs beyond
that (PyTorch) when it starts to work, so that every --help works without.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from deepsing.cli.hand_over import CHOICES

__all__ = ["PROGRAMS", "Program", "main"]

USAGE = 2  # exit status of a mistake in the command
HELP = {"-h", "--help"}
EXTRA = {"torch", "onnx", "librosa", "scipy", "tqdm", "mido", "mir_eval"}  # modules that come with an extra
WAY_OUT = "run: pip install -e '.[serve,{extra}]'"


@dataclass(frozen=True)
class Program:
    """A module with `build_parser()`, and `main(arguments)`, which returns an exit status or None for 0."""

    module: str
    needs_torch: bool = False
    extra: str = "train"  # of deepsing, which brings what it needs

    def load(self) -> Any:
        """Imports the module."""
        return importlib.import_module(self.module)


PROGRAMS: Mapping[tuple[str, str], Program] = {
    ("eval", "audio"): Program("training.audio_sentiment.evaluate"),
    ("eval", "passages"): Program("training.audio_sentiment.evaluate_passages"),
    ("eval", "beats"): Program("training.rhythm.evaluate"),
    ("eval", "story"): Program("training.stories.evaluate"),
    ("eval", "motion"): Program("training.stories.evaluate_motion"),
    ("eval", "image-sentiment"): Program("training.translator.judge.evaluate"),
    ("eval", "generator"): Program("training.generator.evaluate"),
    ("eval", "look"): Program("training.generator.look.evaluate"),
    ("eval", "translator"): Program("training.translator.evaluate"),
    ("eval", "styles"): Program("training.translator.styles.evaluate"),
    ("train", "audio"): Program("training.audio_sentiment.train", needs_torch=True),
    ("train", "image-sentiment"): Program("training.translator.judge.train"),
    ("train", "translator"): Program("training.translator.train", needs_torch=True),
    ("engine", "make"): Program("training.generator.own.make", extra="pictures"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program that the first two words name, with all further arguments, and returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    chosen = _build_parser().parse_args(words[:2])
    return _run_program(PROGRAMS[chosen.verb, chosen.what], words[2:])


def _run_program(program: Program, arguments: list[str]) -> int:
    if program.needs_torch and not HELP & set(arguments) and find_spec("torch") is None:
        return _refuse(f"training needs PyTorch; {WAY_OUT.format(extra=program.extra)}")
    try:
        status: int | None = program.load().main(arguments)
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        return _refuse(f"{error.name} is not installed; {WAY_OUT.format(extra=program.extra)}")
    return status or 0


def _refuse(message: str) -> int:
    sys.stderr.write(f"deepsing: {message}\n")
    return USAGE


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description="Measures, trains and makes models.")
    verbs = parser.add_subparsers(dest="verb", metavar="eval | train | engine", required=True)
    for verb, choices in CHOICES.items():
        verbs.add_parser(verb).add_argument("what", choices=list(choices))
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
