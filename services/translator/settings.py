"""Settings of the translator, read from DEEPSING_TRANSLATOR_*."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Settings", "PREFIX"]

PREFIX = "DEEPSING_TRANSLATOR_"


@dataclass(frozen=True)
class Settings:
    """What an operator may change."""

    default: str = "dictionary"  # the translator that an empty name means
    engine: str = "morph"  # the engine that an empty name means
    weights: tuple[str, ...] = ()  # folders of tables, views and judges, looked through before the one that is shipped
    judge: Literal["on", "off"] = "on"  # off: pictures are not read
