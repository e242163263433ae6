"""Settings of the generator, read from DEEPSING_GENERATOR_*."""

from dataclasses import dataclass
from typing import Annotated, Literal

from deepsing.runtime.settings import Between

__all__ = ["Settings", "PREFIX"]

PREFIX = "DEEPSING_GENERATOR_"


@dataclass(frozen=True)
class Settings:
    """What an operator may change."""

    engines: tuple[str, ...] = ("morph",)  # opened at start, by the names of their manifests; the first is the default
    weights: str = ""  # folder of engines and styles; empty is the one that is shipped
    style_pictures: str = ""  # folder of pictures whose manners are the styles; empty is the built-in ones
    provider: Literal["cpu", "cuda", "auto"] = "cpu"
    threads: Annotated[int, Between(0, 256)] = 0  # pictures painted at once on a CPU; 0 is one a core
    max_batch: Annotated[int, Between(1, 64)] = 16  # pictures of one turn of the device
    max_wait_s: Annotated[float, Between(0, 1)] = 0.002  # how long a lone batch waits for company
    max_queue: Annotated[int, Between(1, 65536)] = 256  # batches that may wait
