"""Finds the translators of a weights folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from services.translator.lexicon import load_lexicon
from services.translator.translate import DictionaryTranslator, Translator
from services.translator.views import ViewTranslator, load_views

__all__ = ["EMBEDDED", "open_translators"]

EMBEDDED = Path(__file__).parent / "weights"  # shipped with the service


def open_translators(folder: Path) -> dict[str, Translator]:
    """Opens every translator of a weights folder, by name.

    Args:
        folder: holds morph_concepts.json and, where views have been trained, morph_views.npz.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file does not hold what it should.
    """
    lexicon = load_lexicon(folder / "morph_concepts.json")
    opened: dict[str, Translator] = {"dictionary": DictionaryTranslator(lexicon)}
    views = folder / f"{lexicon.engine}_views.npz"
    if views.exists():
        digest = hashlib.sha256(views.read_bytes()).hexdigest()
        for number, view in enumerate(load_views(views, lexicon.names), start=1):
            opened[f"view-{number}"] = ViewTranslator(lexicon, view, number, digest)
    return opened
