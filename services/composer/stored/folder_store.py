"""Stories in a folder of this machine, for development and for a single host."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.composer.stored.store import Entry, NotFound, StoreError, VersionConflict

__all__ = ["FolderStore"]

PARTIAL = ".partial-"  # files that are being written begin so; no object's name does


class FolderStore:
    """See Store. Safe for several processes of one machine; a network's file system must know flock and link.

    Args:
        root: folder; made where it is not there, for its owner alone.
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
                os.link(partial, self._path(name))  # unlike a rename it fails where there is one
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
        """A file address, which holds as long as the file is there."""
        return self._path(name).as_uri()

    def _path(self, name: str) -> Path:
        return self._root / name

    @contextmanager
    def _open_partial(self, name: str) -> Iterator[Path]:
        """A place for the bytes of an object to come, in the folder that it will lie in."""
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


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(str(error.filename)) from None
    except OSError as error:
        raise StoreError(f"the folder of stories cannot be used ({error.strerror}); see that there is room") from error


def _version(facts: os.stat_result) -> str:
    return f"{facts.st_ino}-{facts.st_mtime_ns}-{facts.st_size}"


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
