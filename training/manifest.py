"""The manifest beside a model file: its name, its digest, and how it was made.

Servers open a file only where its manifest has the right digest; see deepsing/runtime/artifacts.py.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

__all__ = ["compute_digest", "write_manifest"]


def compute_digest(path: Path) -> str:
    """Lower-case hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(path: Path, facts: Mapping[str, object], name: str = "") -> None:
    """Writes the manifest of the file at `path` beside it, as JSON.

    Args:
        path: the weights; the manifest has the same name with the ending .json.
        facts: what else is known, for example the command, the data and the metrics.
        name: of the model; the file's stem unless given.
    """
    head = {"name": name or path.stem, "file": path.name, "sha256": compute_digest(path), "bytes": path.stat().st_size}
    text = json.dumps({**head, **facts}, indent=1, ensure_ascii=False)
    path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
