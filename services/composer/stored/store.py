"""The store of stories: named objects with conditional writes, and threads for its blocking calls."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from services.composer.stored.record import Record

__all__ = ["Store", "Entry", "VersionConflict", "NotFound", "StoreError", "UnreadableRecord", "AsyncStore", "THREADS"]

Result = TypeVar("Result")
THREADS = 4  # of one AsyncStore


class StoreError(Exception):
    """The store cannot be reached or refuses; trying again later may help."""


class VersionConflict(Exception):
    """A conditional write failed: another writer was faster."""


class NotFound(Exception):
    """The object does not exist."""


class UnreadableRecord(Exception):
    """An object is there, but is no record; `version` is the object's."""

    def __init__(self, name: str, version: str, reason: ValueError) -> None:
        super().__init__(f"{name} is not a story's record: {reason}")
        self.version = version


@dataclass(frozen=True)
class Entry:
    """A small object: its bytes, and an identifier of this version."""

    content: bytes
    version: str


class Store(Protocol):
    """Objects by name ("records/all/5f2c"). All methods block, may be called from any thread, and raise StoreError.

    Writes are atomic: a reader never sees half an object, and every read after a write has returned sees that write.
    """

    def read(self, name: str) -> Entry:
        """Reads a small object. Raises NotFound."""

    def create(self, name: str, content: bytes) -> None:
        """Writes a new small object. Raises VersionConflict if it exists."""

    def replace(self, name: str, content: bytes, version: str) -> None:
        """Overwrites a small object that still has this version. Raises VersionConflict if not, or if it is missing."""

    def put(self, name: str, source: Path) -> None:
        """Stores a file as an object, new or overwritten."""

    def fetch(self, name: str, target: Path) -> None:
        """Copies an object to a file. Raises NotFound."""

    def age_s(self, name: str) -> float:
        """Seconds since an object was written, both times by the store's own clock. Raises NotFound."""

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """Names that begin with `prefix` and come after `after`, in the order of their bytes; read bit by bit."""

    def delete(self, name: str) -> None:
        """Removes an object, if it exists."""

    def link(self, name: str, file_name: str, seconds: int) -> str:
        """A URL from which anyone can download the object as `file_name`, for so many seconds."""


class AsyncStore:
    """Calls a store's blocking methods in a few threads of their own."""

    def __init__(self, store: Store) -> None:
        self.blocking = store
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")

    async def call(self, method: Callable[..., Result], *arguments: Any) -> Result:
        """Calls a method of the store in a thread. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, method, *arguments)

    async def read_record(self, name: str) -> tuple[Record, str]:
        """A story's record and its version. Raises NotFound, UnreadableRecord, StoreError."""
        entry = await self.call(self.blocking.read, name)
        try:
            record = Record.from_bytes(entry.content)
            if record.name != name:
                raise ValueError(f"it is that of {record.name}")
            return record, entry.version
        except ValueError as error:
            raise UnreadableRecord(name, entry.version, error) from error

    async def list_names(self, prefix: str, after: str = "", most: int | None = None) -> list[str]:
        """The first `most` names; see Store.list."""
        return await self.call(lambda: list(islice(self.blocking.list(prefix, after), most)))

    async def replace_record(self, record: Record, version: str, **changes: Any) -> Record:
        """Writes a record's next version if it still has the one that was read. Raises VersionConflict, StoreError."""
        changed = record.with_changes(**changes)
        await self.call(self.blocking.replace, record.name, changed.to_bytes(), version)
        return changed

    async def delete_all(self, prefix: str) -> None:
        """Deletes all objects whose names begin with a prefix. Raises StoreError."""
        for name in await self.list_names(prefix):
            await self.call(self.blocking.delete, name)

    def close(self) -> None:
        """Takes no more calls; those that run are completed."""
        self._threads.shutdown(wait=False, cancel_futures=True)
