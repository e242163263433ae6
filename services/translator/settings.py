"""Settings of the translator, read from DEEPSING_TRANSLATOR_*."""

from dataclasses import dataclass

__all__ = ["Settings", "PREFIX"]

PREFIX = "DEEPSING_TRANSLATOR_"


@dataclass(frozen=True)
class Settings:
    """What an operator may change."""

    default: str = "dictionary"  # the translator that an empty name means
    weights: str = ""  # folder of concept tables and neural views; empty is the one that is shipped
