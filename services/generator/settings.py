"""Settings of the generator, read from DEEPSING_GENERATOR_*."""

from dataclasses import dataclass
from typing import Annotated, Literal

from deepsing.runtime.settings import Between, SettingsError

__all__ = ["Settings", "PREFIX", "run_lengths"]

PREFIX = "DEEPSING_GENERATOR_"
LONGEST_RUN = 64


@dataclass(frozen=True)
class Settings:
    """Settings of the service."""

    engines: tuple[str, ...] = ("canvas",)  # names of the manifests of the engines to open; the first is the default
    weights: tuple[str, ...] = ()  # folders of engines and styles, searched before the shipped one
    style_pictures: str = ""  # folder of pictures that are the styles; empty: the built-in styles
    provider: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: Annotated[int, Between(0, 256)] = 0  # pictures painted in parallel on a CPU; 0 is one per core
    runs: tuple[str, ...] = ("8",)  # pictures that a GPU paints in one run; a shorter rest is padded
    max_batch: Annotated[int, Between(1, 64)] = 16  # pictures of several requests that are painted together
    max_wait_s: Annotated[float, Between(0, 1)] = 0.002  # how long a request waits for others to be painted with, s
    max_queue: Annotated[int, Between(1, 65536)] = 256  # requests that may wait


def run_lengths(settings: Settings) -> tuple[int, ...]:
    """The lengths of a GPU's runs; raises SettingsError if they are not numbers."""
    if not settings.runs or not all(text.isdecimal() and 1 <= int(text) <= LONGEST_RUN for text in settings.runs):
        given = ",".join(settings.runs)
        raise SettingsError(f"{PREFIX}RUNS is {given!r}; set it to whole numbers from 1 to {LONGEST_RUN}, as 1,2,4,8")
    return tuple(map(int, settings.runs))
