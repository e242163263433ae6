"""A store in a folder, for development and single machines."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.composer.stored.store import Entry, NotFound, StoreError, VersionConflict
from services.composer.upload.scratch import ScratchDir

__all__ = ["FolderStore"]

PARTIAL = ".partial"  # folder of files that are being written; what a killed process left there is removed at opening


class FolderStore:
    """See Store. Safe for several processes of one machine; on a network file system it needs flock and hard links.

    Args:
        root: folder; created if it is missing, readable by its owner alone. Hidden files in it are no objects.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().resolve()
        with _translate_errors():
            (self._root / PARTIAL).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._scratch = ScratchDir(self._root / PARTIAL)

    def read(self, name: str) -> Entry:
        """See Store."""
        with _translate_errors(), self._path(name).open("rb") as file:
            return Entry(file.read(), _version(os.fstat(file.fileno())))

    def create(self, name: str, content: bytes) -> None:
        """See Store."""
        with _translate_errors(), self._write_partial(lambda partial: partial.write_bytes(content)) as partial:
            try:
                self._place(name, partial, os.link)  # unlike a rename, it fails if the object exists
            except FileExistsError:
                raise VersionConflict(name) from None

    def replace(self, name: str, content: bytes, version: str) -> None:
        """See Store."""
        path = self._path(name)
        with (
            _translate_errors(),
            self._write_partial(lambda partial: partial.write_bytes(content)) as partial,
            (self._root / ".lock").open("ab") as lock,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists() or _version(path.stat()) != version:
                raise VersionConflict(name)
            partial.replace(path)

    def put(self, name: str, source: Path) -> None:
        """See Store."""
        with _translate_errors(), self._write_partial(lambda partial: shutil.copyfile(source, partial)) as partial:
            self._place(name, partial, os.replace)

    def fetch(self, name: str, target: Path) -> None:
        """See Store."""
        with _translate_errors():
            shutil.copyfile(self._path(name), target)

    def age_s(self, name: str) -> float:
        """See Store. The present is the time that the file system gives to a file written now."""
        with _translate_errors():
            written_ns = self._path(name).stat().st_mtime_ns
            with self._write_partial(lambda partial: partial.write_bytes(b"now")) as partial:
                return (partial.stat().st_mtime_ns - written_ns) / 1e9

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        """See Store."""
        with _translate_errors():
            for name in self._walk(prefix.rpartition("/")[0]):
                if name.startswith(prefix) and name > after:
                    yield name

    def _walk(self, folder: str) -> Iterator[str]:
        """Names of all objects in a folder, in the order of their bytes; a folder that vanishes meanwhile has none."""
        try:
            with os.scandir(self._root / folder) as found:
                entries = sorted((one.name + "/" * one.is_dir(), one.name) for one in found if one.name[0] != ".")
        except (FileNotFoundError, NotADirectoryError):
            return
        for key, own_name in entries:
            name = f"{folder}/{own_name}" if folder else own_name
            if key.endswith("/"):
                yield from self._walk(name)
            else:
                yield name

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
    def _write_partial(self, write: Callable[[Path], object]) -> Iterator[Path]:
        """A temporary file of this process, written and on the disk; removed at the end if it is still there."""
        partial = self._scratch.path / f"{PARTIAL}-{secrets.token_hex(8)}"
        try:
            partial.touch(mode=0o600, exist_ok=False)
            write(partial)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            yield partial
        finally:
            partial.unlink(missing_ok=True)

    def _place(self, name: str, partial: Path, move: Callable[[Path, Path], None]) -> None:
        """Links or renames a written file to an object's name."""
        while True:
            self._path(name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                return move(partial, self._path(name))
            except FileNotFoundError:  # another process deleted the folder with the last object in it
                if not partial.exists():
                    raise


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
