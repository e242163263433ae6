"""Settings of the generator, read from DEEPSING_GENERATOR_*."""

from dataclasses import dataclass
from typing import Annotated, Literal

from deepsing.runtime.settings import Between, SettingsError

__all__ = ["Settings", "PREFIX", "run_lengths"]

PREFIX = "DEEPSING_GENERATOR_"
LONGEST_RUN = 64


@dataclass(frozen=True)
class Settings:
    """What an operator may change."""

    engines: tuple[str, ...] = ("morph",)  # opened at start, by the names of their manifests; the first is the default
    weights: tuple[str, ...] = ()  # folders of engines and styles, looked through before the one that is shipped
    style_pictures: str = ""  # folder of pictures whose manners are the styles; empty is the built-in ones
    provider: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: Annotated[int, Between(0, 256)] = 0  # pictures painted at once on a CPU; 0 is one a core
    runs: tuple[str, ...] = ("8",)  # pictures a GPU may paint at once; a rest shorter than the least is filled up
    max_batch: Annotated[int, Between(1, 64)] = 16  # pictures of one turn of the device
    max_wait_s: Annotated[float, Between(0, 1)] = 0.002  # how long a lone batch waits for company
    max_queue: Annotated[int, Between(1, 65536)] = 256  # batches that may wait


def run_lengths(settings: Settings) -> tuple[int, ...]:
    """The runs of a GPU as numbers; raises SettingsError where they are none."""
    if not settings.runs or not all(text.isdecimal() and 1 <= int(text) <= LONGEST_RUN for text in settings.runs):
        given = ",".join(settings.runs)
        raise SettingsError(f"{PREFIX}RUNS is {given!r}; set it to whole numbers from 1 to {LONGEST_RUN}, as 1,2,4,8")
    return tuple(map(int, settings.runs))
