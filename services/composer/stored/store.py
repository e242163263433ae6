"""The store of stories: named objects with conditional writes. FolderStore is one in a folder of this machine."""

import asyncio
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from services.composer.stored.record import Record

__all__ = ["Store", "Entry", "VersionConflict", "NotFound", "StoreError", "FolderStore", "AsyncStore"]

Result = TypeVar("Result")
THREADS = 4  # of one AsyncStore
PARTIAL = ".partial-"  # prefix of files that are being written; no object has such a name


class StoreError(Exception):
    """The store cannot be reached or refuses; trying again later may help."""


class VersionConflict(Exception):
    """A conditional write failed: another writer was faster."""


class NotFound(Exception):
    """The object does not exist."""


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

    def list(self, prefix: str, after: str = "") -> Iterator[tuple[str, str]]:
        """Names that begin with `prefix` and come after `after`, in the order of their bytes, each with its version."""

    def delete(self, name: str) -> None:
        """Removes an object, if it exists."""

    def link(self, name: str, file_name: str, seconds: int) -> str:
        """A URL from which anyone can download the object as `file_name`, for so many seconds."""


class FolderStore:
    """See Store. For development and single hosts: safe for several processes of one machine.

    On a network file system it needs flock and hard links.

    Args:
        root: folder; created if it is missing, readable by its owner alone.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().resolve()
        with _translate_errors():
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self, name: str) -> Entry:
        """See Store."""
        with _translate_errors(), self._path(name).open("rb") as file:
            return Entry(file.read(), _version(os.fstat(file.fileno())))

    def create(self, name: str, content: bytes) -> None:
        """See Store."""
        with _translate_errors(), self._open_partial(name) as partial:
            partial.write_bytes(content)
            _sync(partial)
            try:
                os.link(partial, self._path(name))  # unlike a rename, it fails if the object exists
            except FileExistsError:
                raise VersionConflict(name) from None

    def replace(self, name: str, content: bytes, version: str) -> None:
        """See Store."""
        with _translate_errors(), self._open_partial(name) as partial, (self._root / ".lock").open("ab") as lock:
            partial.write_bytes(content)
            _sync(partial)
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self._path(name)
            if not path.exists() or _version(path.stat()) != version:
                raise VersionConflict(name)
            partial.replace(path)

    def put(self, name: str, source: Path) -> None:
        """See Store."""
        with _translate_errors(), self._open_partial(name) as partial:
            shutil.copyfile(source, partial)
            _sync(partial)
            partial.replace(self._path(name))

    def fetch(self, name: str, target: Path) -> None:
        """See Store."""
        with _translate_errors():
            shutil.copyfile(self._path(name), target)

    def list(self, prefix: str, after: str = "") -> Iterator[tuple[str, str]]:
        """See Store."""
        with _translate_errors():
            paths = [path for path in self._root.rglob("*") if path.is_file() and not path.name.startswith(".")]
        names = sorted(path.relative_to(self._root).as_posix() for path in paths)
        for name in names:
            if name.startswith(prefix) and name > after:
                with suppress(FileNotFoundError):  # deleted meanwhile
                    yield name, _version(self._path(name).stat())

    def delete(self, name: str) -> None:
        """See Store."""
        path = self._path(name)
        with _translate_errors():
            path.unlink(missing_ok=True)
        with suppress(OSError):  # not empty yet
            for folder in path.parents[: len(path.relative_to(self._root).parts) - 1]:
                folder.rmdir()

    def link(self, name: str, file_name: str, seconds: int) -> str:
        """A file: URL, valid as long as the file exists."""
        return self._path(name).as_uri()

    def _path(self, name: str) -> Path:
        return self._root / name

    @contextmanager
    def _open_partial(self, name: str) -> Iterator[Path]:
        """An empty temporary file in the folder of the object that is to be written."""
        while True:
            folder = self._path(name).parent
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = folder / f"{PARTIAL}{secrets.token_hex(8)}"
            with suppress(FileNotFoundError):  # another process deleted the folder with the last object in it
                partial.touch(mode=0o600, exist_ok=False)
                break
        try:
            yield partial
        finally:
            partial.unlink(missing_ok=True)


class AsyncStore:
    """Calls a store's blocking methods in a few threads of their own."""

    def __init__(self, store: Store) -> None:
        self.blocking = store
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")

    async def call(self, method: Callable[..., Result], *arguments: Any) -> Result:
        """Calls a method of the store in a thread. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, method, *arguments)

    async def read_record(self, name: str) -> tuple[Record, str]:
        """A story's record and its version. Raises NotFound, StoreError."""
        entry = await self.call(self.blocking.read, name)
        return Record.from_bytes(entry.content), entry.version

    async def list_names(self, prefix: str, after: str = "") -> list[tuple[str, str]]:
        """See Store.list."""
        return await self.call(lambda: list(self.blocking.list(prefix, after)))

    async def replace_record(self, record: Record, version: str, **changes: Any) -> Record:
        """Writes a record's next version if it still has the one that was read. Raises VersionConflict, StoreError."""
        changed = record.with_changes(**changes)
        await self.call(self.blocking.replace, record.name, changed.to_bytes(), version)
        return changed

    def close(self) -> None:
        """Takes no more calls; those that run are completed."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(str(error.filename)) from None
    except OSError as error:
        raise StoreError(f"the folder of stories cannot be used ({error.strerror}); check access and space") from error


def _version(facts: os.stat_result) -> str:
    return f"{facts.st_ino}-{facts.st_mtime_ns}-{facts.st_size}"


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
