"""Finds the translators of a weights folder."""

from __future__ import annotations

from pathlib import Path

from services.translator.lexicon import load_lexicon
from services.translator.translate import DictionaryTranslator, Translator

__all__ = ["EMBEDDED", "open_translators"]

EMBEDDED = Path(__file__).parent / "weights"  # shipped with the service


def open_translators(folder: Path) -> dict[str, Translator]:
    """Opens every translator of a weights folder, by name.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file does not hold what it should.
    """
    lexicon = load_lexicon(folder / "morph_concepts.json")
    return {"dictionary": DictionaryTranslator(lexicon)}
