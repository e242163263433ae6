"""What stories are kept in: objects by name, whose writes can be made to depend on what is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["Store", "Entry", "VersionConflict", "NotFound", "StoreError"]


class StoreError(Exception):
    """The store does not answer, or not as it should; trying again later may help."""


class VersionConflict(Exception):
    """A conditional write came too late: somebody else wrote first."""


class NotFound(Exception):
    """There is no such object."""


@dataclass(frozen=True)
class Entry:
    """A small object: its bytes, and what tells this version of it from all others."""

    content: bytes
    version: str


class Store(Protocol):
    """Objects by name ("records/all/5f2c"). All methods block, may be called from any thread, and raise StoreError.

    An object is there as a whole or not at all, and a write that has returned is seen by every later read.
    """

    def read(self, name: str) -> Entry:
        """A small object. Raises NotFound."""

    def create(self, name: str, content: bytes) -> None:
        """Writes a small object that is not there yet. Raises VersionConflict where it is."""

    def replace(self, name: str, content: bytes, version: str) -> None:
        """Writes a small object over this very version of it. Raises VersionConflict where another or none is there."""

    def put(self, name: str, source: Path) -> None:
        """Writes a file as an object, whatever is there."""

    def fetch(self, name: str, target: Path) -> None:
        """Writes an object to a file. Raises NotFound."""

    def list(self, prefix: str, after: str = "") -> Iterator[tuple[str, str]]:
        """Names that begin with `prefix` and come after `after`, in the order of their bytes, each with its version."""

    def delete(self, name: str) -> None:
        """Removes an object; no matter if it is not there."""

    def link(self, name: str, file_name: str, seconds: int) -> str:
        """An address where anyone may fetch the object, as `file_name`, for so many seconds."""
