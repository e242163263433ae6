"""Settings of the translator, read from DEEPSING_TRANSLATOR_*."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Settings", "PREFIX"]

PREFIX = "DEEPSING_TRANSLATOR_"


@dataclass(frozen=True)
class Settings:
    """Settings of the service."""

    default: str = "dictionary"  # the translator used for an empty name
    engine: str = "canvas"  # the engine used for an empty name
    weights: tuple[str, ...] = ()  # folders of tables, views and judges, searched before the shipped one
    judge: Literal["on", "off"] = "on"  # off: ReadPictures is refused
