"""Finds the translators of every engine in a search path of folders."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from services.translator.lexicon import load_lexicon
from services.translator.translate import DictionaryTranslator, JourneyTranslator, OriginalTranslator, Translator
from services.translator.views import ViewTranslator, load_views

__all__ = ["EMBEDDED", "find_file", "open_catalogue", "open_translators", "table_path"]

EMBEDDED = Path(__file__).parent / "weights"  # shipped with the service
TABLE = "_concepts.json"  # after an engine's name


def find_file(name: str, folders: Sequence[Path]) -> Path:
    """The path of a file in the first folder that has it, else in the shipped one."""
    return next((folder / name for folder in folders if (folder / name).exists()), EMBEDDED / name)


def table_path(engine: str, folder: Path) -> Path:
    """The path of the rated concepts of an engine in a folder."""
    return folder / f"{engine}{TABLE}"


def open_catalogue(folders: Sequence[Path]) -> dict[str, dict[str, Translator]]:
    """Opens every engine's translators: engine, sorted → name → translator.

    Args:
        folders: searched before the shipped one; the first that has an engine's table is used.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file does not hold what it should.
    """
    tables: dict[str, Path] = {}
    for folder in (*folders, EMBEDDED):
        for path in folder.glob(f"*{TABLE}"):
            tables.setdefault(path.name.removesuffix(TABLE), path)
    return {engine: open_translators(table) for engine, table in sorted(tables.items())}


def open_translators(table: Path) -> dict[str, Translator]:
    """Opens every translator of an engine, by name.

    Args:
        table: ENGINE_concepts.json; ENGINE_views.npz beside it holds trained views, if there are any.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file does not hold what it should.
    """
    lexicon = load_lexicon(table)
    if table.name != f"{lexicon.engine}{TABLE}":
        raise ValueError(f"{table.name} is of the engine {lexicon.engine!r}; call it {lexicon.engine}{TABLE}")
    translators: dict[str, Translator] = {
        "dictionary": DictionaryTranslator(lexicon),
        "original": OriginalTranslator(lexicon),
    }
    if lexicon.distances.any():
        translators["journey"] = JourneyTranslator(lexicon)
    views = table.with_name(f"{lexicon.engine}_views.npz")
    if views.exists():
        digest = hashlib.sha256(views.read_bytes()).hexdigest()
        for number, view in enumerate(load_views(views, lexicon.names), start=1):
            translators[f"view-{number}"] = ViewTranslator(lexicon, view, number, digest)
    return translators
