"""The kinds of engines, by the name that a manifest gives as its "engine"."""

from __future__ import annotations

from collections.abc import Callable

from services.generator.engines.biggan_deep import BigGanDeep
from services.generator.engines.engine import Engine, Session
from services.generator.engines.morph import Morph

__all__ = ["ENGINES", "Engine", "Session"]

# kind → maker, called with the engine's name, its digest and its opened session
ENGINES: dict[str, Callable[[str, str, Session], Engine]] = {"morph": Morph, "biggan-deep": BigGanDeep}
