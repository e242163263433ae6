"""deepsing eval, train, engine and bench: each becomes a program of the clone, with all arguments as they came."""

import os
import sys
from collections.abc import Mapping, Sequence

from deepsing.local.source import python_command, python_environment, service_root

__all__ = ["CHOICES", "exec_program"]

# What can be measured, trained and made; `python -m training` has a program for each.
CHOICES: Mapping[str, Mapping[str, str]] = {
    "eval": {
        "audio": "how well the emotions of songs are read, against people's ratings",
        "passages": "whether the emotions that are read follow when the music changes",
        "beats": "how well beats, onsets and tempo are heard, against MIDI files",
        "story": "how well the pictures of your songs' stories carry the songs' emotions",
        "motion": "how your songs' stories move, and whether with the music",
        "image-sentiment": "how well the model reads what people feel at photos",
        "generator": "how sharp an engine's pictures are",
        "look": "what people see in an engine's pictures: detail, mesh, seams, speed",
        "translator": "how well the chosen concepts follow the emotions that are asked for",
        "styles": "what painting styles do to the emotion of pictures",
    },
    "train": {
        "audio": "the model that reads the emotions of songs",
        "image-sentiment": "the models that read what people feel at pictures",
        "translator": "further translators for an engine",
    },
    "engine": {"make": "an engine of your own pictures, without training"},
}
PACKAGES = {"eval": "training", "train": "training", "engine": "training", "bench": "bench"}


def exec_program(arguments: Sequence[str]) -> None:
    """Replaces this process by the program that the first words name, if they name one.

    Raises:
        CommandError: the program is not installed here.
    """
    if not arguments or arguments[0] not in PACKAGES:
        return
    verb, rest = arguments[0], list(arguments[1:])
    if verb in CHOICES:
        if not rest or rest[0] not in CHOICES[verb]:
            return  # the parser lists the choices
        rest = [verb, *rest]
    package = PACKAGES[verb]
    root = service_root(package, "work in a clone of the repository (see its README)")
    command = python_command("-m", package, *rest)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, python_environment(root))  # noqa: S606 - no shell is wanted
