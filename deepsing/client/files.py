"""Saves the finished files of a story: all of them, complete, or none."""

import contextlib
import hashlib
import os
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from deepsing.client.errors import Failed, Refused
from deepsing.runtime.leftovers import claim, take_abandoned
from deepsing.v1 import composer_pb2 as pb

__all__ = ["StoryFiles", "story_paths"]

SUFFIXES: Mapping[int, str] = {
    pb.STORY_FILE_KIND_VIDEO: ".mp4",
    pb.STORY_FILE_KIND_MANIFEST: ".json",
    pb.STORY_FILE_KIND_CONTACT_SHEET: ".contact-sheet.png",
    pb.STORY_FILE_KIND_CURVE: ".curve.png",
}
PART = ".part"


def story_paths(out: Path) -> dict[int, Path]:
    """Names the four files of a story: story.mp4, story.json, story.contact-sheet.png, story.curve.png.

    Args:
        out: where the video goes; its name ends in .mp4.

    Raises:
        Refused: the name does not end so.
        OSError: the folder does not exist, or one of the names is that of a folder.
    """
    if out.name.lower() == ".mp4":
        raise Refused(f"the story's file is named {out.name!r}, with nothing before the dot; choose such as story.mp4")
    if out.suffix.lower() != ".mp4":
        raise Refused(f"the story's file is named {out.name!r}; choose a name that ends in .mp4")
    if not out.parent.is_dir():
        raise FileNotFoundError(2, "no such folder", str(out.parent))
    paths = {kind: out.with_suffix(suffix) for kind, suffix in SUFFIXES.items()}
    paths[pb.STORY_FILE_KIND_VIDEO] = out
    for path in paths.values():
        if path.is_dir():
            raise IsADirectoryError(21, "is a folder", str(path))
    return paths


class StoryFiles:
    """Writes files under temporary names until `commit`; leaving the context before that removes them.

    Entering it also removes what processes that were killed left in the same folders.

    Args:
        paths: where each kind of file goes; an existing file stays until `commit` replaces it.
    """

    def __init__(self, paths: Mapping[int, Path]) -> None:
        self._paths = dict(paths)
        self._parts: dict[int, Path] = {}
        self._open_files: dict[int, BinaryIO] = {}
        self._locks: list[int] = []
        self._digests = {kind: hashlib.sha256() for kind in paths}
        self._lock = threading.Lock()  # a thread may still write when its task is cancelled and the context is left
        self._is_discarded = False

    def __enter__(self) -> Self:
        try:
            for kind, path in self._paths.items():
                part = path.with_name(f".deepsing-{secrets.token_hex(8)}.new")
                self._open_files[kind] = part.open("xb")
                self._parts[kind] = part
                claimed = part.with_suffix(PART)
                if (lock := claim(part, claimed)) is not None:
                    self._parts[kind] = claimed
                    self._locks.append(lock)
            for folder in {path.parent for path in self._paths.values()}:
                for abandoned in take_abandoned(folder, f".deepsing-*{PART}"):
                    with contextlib.suppress(OSError):  # somebody else's
                        abandoned.unlink()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._discard()

    def write(self, chunk: pb.StoryFileChunk) -> None:
        """Adds the next piece of a file; a piece at its start replaces what there was of it.

        Raises:
            Failed: the file was not asked for or is complete already, its bytes differ from its digest, or the context
                has been left.
        """
        with self._lock:
            if self._is_discarded:
                raise Failed("the files were given up before all of them had come")
            self._write(chunk)

    def _write(self, chunk: pb.StoryFileChunk) -> None:
        if not chunk.offset_bytes and chunk.kind in self._parts:
            self._begin_file(chunk.kind)
        if chunk.kind not in self._open_files:
            raise Failed(f"the composer sent a piece of a file (kind {chunk.kind}) that was not asked for; report this")
        file, digest = self._open_files[chunk.kind], self._digests[chunk.kind]
        file.write(chunk.data)
        digest.update(chunk.data)
        if chunk.last:
            if digest.hexdigest() != chunk.digest:
                name = self._paths[chunk.kind].name
                raise Failed(f"{name} arrived with digest {digest.hexdigest()}, not {chunk.digest}; try again")
            file.flush()
            os.fsync(file.fileno())
            self._open_files.pop(chunk.kind).close()

    def _begin_file(self, kind: int) -> None:
        if kind in self._open_files:
            self._open_files.pop(kind).close()
        self._open_files[kind] = self._parts[kind].open("wb")
        self._digests[kind] = hashlib.sha256()

    def commit(self) -> None:
        """Gives all files their final names.

        Raises:
            Failed: a file is missing or incomplete.
        """
        if self._open_files:
            names = ", ".join(self._paths[kind].name for kind in self._open_files)
            raise Failed(f"the composer ended the story without {names}; try again")
        for kind, part in list(self._parts.items()):
            part.replace(self._paths[kind])
            del self._parts[kind]
        for folder in {path.parent for path in self._paths.values()}:
            _sync_folder(folder)

    def _discard(self) -> None:
        with self._lock:
            self._is_discarded = True
            for file in self._open_files.values():
                with contextlib.suppress(OSError):  # a full disk fails once more at close
                    file.close()
            for part in self._parts.values():
                part.unlink(missing_ok=True)
            while self._locks:
                os.close(self._locks.pop())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
