"""deepsing eval, train and bench: they become the program that does it, with all arguments as they came."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from deepsing.local.failures import USAGE, CommandError
from deepsing.local.source import python_command, python_environment, service_root

__all__ = ["exec_program", "PROGRAMS"]

PROGRAMS: Mapping[tuple[str, ...], str] = {
    ("eval", "audio"): "training.audio_sentiment.evaluate",
    ("eval", "story"): "training.stories.evaluate",
    ("eval", "image-sentiment"): "training.translator.judge.evaluate",
    ("eval", "generator"): "training.generator.evaluate",
    ("eval", "translator"): "training.translator.evaluate",
    ("eval", "styles"): "training.translator.styles.evaluate",
    ("train", "audio"): "training.audio_sentiment.train",
    ("train", "generator"): "training.generator.own_pictures",
    ("train", "image-sentiment"): "training.translator.judge.train",
    ("train", "translator"): "training.translator.train",
    ("bench",): "bench",
}
NEEDS_TORCH = {"training.generator.own_pictures", "training.audio_sentiment.train"}  # what cannot do without it


def exec_program(arguments: Sequence[str]) -> None:
    """Replaces this process by the program that the first words name, if they name one.

    Raises:
        CommandError: the program, or what it needs, is not installed here.
    """
    for words, module in PROGRAMS.items():
        if tuple(arguments[: len(words)]) == words:
            _exec_module(module, arguments[len(words) :])


def _exec_module(module: str, arguments: Sequence[str]) -> None:
    root = service_root(module, "work in a clone of the repository (see its README)")
    if module in NEEDS_TORCH and find_spec("torch") is None:
        raise CommandError("training needs PyTorch; run: pip install -e '.[serve,train]'", USAGE)
    command = python_command("-m", module, *arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, python_environment(root))  # noqa: S606 - no shell is wanted
