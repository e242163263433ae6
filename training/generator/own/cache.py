"""Engines that a story made on the way: kept under a name made of all that they are made of, the last few of them."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from training.generator.own.ratings import LABELLER_FILES
from training.generator.own.sources import SHIPPED, OwnPictures
from training.manifest import compute_digest

__all__ = ["compute_name", "find_cached", "forget_oldest"]

VERSION = 2  # of how engines are made; a change makes all anew
KEPT = 8  # engines
DIGITS = 16  # of a digest, in a name
PREFIX = "pictures-"


def compute_name(pictures: OwnPictures) -> str:
    """The name of the engine of these pictures: equal for equal files, names, ratings and models."""
    hashed = hashlib.sha256(f"{VERSION}".encode())
    for path in (SHIPPED, *LABELLER_FILES, *([pictures.table] if pictures.table else [])):
        hashed.update(compute_digest(path).encode())
    for picture in pictures.chosen:
        hashed.update(b"\0" + os.fsencode(picture.file) + b"\0" + _digest_file(picture.path))
    return PREFIX + hashed.hexdigest()[:DIGITS]


def find_cached(name: str, folder: Path) -> Path | None:
    """The engine of this name in a cache, which counts as used now; None where it is not there."""
    manifest = folder / name / f"{name}.json"
    if not manifest.exists():
        return None
    os.utime(manifest)
    return manifest.with_suffix(".onnx")


def forget_oldest(folder: Path) -> None:
    """Deletes all engines of a cache but the KEPT that were used last."""
    for manifest in _list_by_age(folder)[KEPT:]:
        shutil.rmtree(manifest.parent, ignore_errors=True)


def _list_by_age(folder: Path) -> Sequence[Path]:
    """The manifests of a cache, the one used last first."""
    found = []
    for manifest in folder.glob(f"{PREFIX}*/{PREFIX}*.json"):
        if manifest.stem == manifest.parent.name:
            found.append((manifest.stat().st_mtime_ns, manifest))
    return [manifest for _, manifest in sorted(found, reverse=True)]


def _digest_file(path: Path) -> bytes:
    """A digest of a file's bytes; of nothing where it cannot be read, which making the engine reports."""
    try:
        return compute_digest(path).encode()
    except OSError:
        return b""
