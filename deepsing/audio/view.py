"""The bytes of a song as FFmpeg reads them: without a file name to judge by, and with their beginning kept."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from deepsing.audio.errors import AudioError

__all__ = ["FileView", "Readable"]

HEAD_BYTES = 1 << 16  # enough for the headers that we read ourselves
ID3_HEADER_BYTES = 10
OPENING_BYTES = 64 * 2**20  # that may be read before the sound begins: tags, pictures, an index
MAX_SEEK_BYTES = 1 << 40  # beyond every song; forged headers send us to places that no file system has


class Readable(Protocol):
    """A binary file, a GrowingFile, or anything that reads like one."""

    def read(self, size: int, /) -> bytes:
        """Returns up to `size` bytes; b"" at the end."""
        ...


class FileView:
    """Reads a file from its start, never more at once than asked for, and remembers what went wrong.

    Attributes:
        head: the first bytes, at most 64 KiB of those read so far, but for an ID3 tag (with pictures in it these
            grow long).
        error: what the file raised, which FFmpeg would report as a plain I/O error; None if nothing.
        pause: called before each piece that is read; what it raises counts as raised by the file.
    """

    def __init__(self, file: Readable, pause: Callable[[], None] = lambda: None) -> None:
        self.head, self.pause = b"", pause
        self.error: Exception | None = None
        self._file = file
        self._position = 0
        self._head_start: int | None = None
        self._ahead = b""  # peeked at, not yet read
        self._opening_bytes: int | None = None  # that may still be read; None is any number
        seekable = getattr(file, "seekable", None)
        self._seek = getattr(file, "seek", None) if seekable is None or seekable() else None
        if self._seek is not None:
            self._seek(0)

    def peek(self, size: int) -> bytes:
        """Returns the next bytes, fewer than `size` only at the end of the file, without moving on."""
        while len(self._ahead) < size:
            piece = self._fetch(size - len(self._ahead))
            if not piece:
                break
            self._ahead += piece
        return self._ahead[:size]

    def read(self, size: int) -> bytes:
        """Returns up to `size` bytes; b"" at the end."""
        if self._head_start is None:
            self._head_start = _id3_bytes(self.peek(ID3_HEADER_BYTES))
        piece = self._ahead[:size] or self._fetch(size)
        self._ahead = self._ahead[size:]
        self._keep_head(piece)
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a position, bytes from the start or, with SEEK_END, from the end."""
        assert self._seek is not None
        assert whence in (io.SEEK_SET, io.SEEK_END)
        try:
            self._position = int(self._seek(min(offset, MAX_SEEK_BYTES), whence))
        except Exception as error:
            self.error = error
            raise
        self._ahead = b""
        return self._position

    @contextmanager
    def limit_head(self) -> Iterator[None]:
        """Reads no more than OPENING_BYTES inside; AudioError "unreadable" is then the view's error."""
        self._opening_bytes = OPENING_BYTES
        try:
            yield
        finally:
            self._opening_bytes = None

    def tell(self) -> int:
        """Returns the position, bytes from the start."""
        return self._position

    def seekable(self) -> bool:
        """Whether `seek` may be used."""
        return self._seek is not None

    def _keep_head(self, piece: bytes) -> None:
        """Adds to the head what of a piece continues it."""
        assert self._head_start is not None
        begins = self._head_start + len(self.head) - self._position
        if 0 <= begins < len(piece) and len(self.head) < HEAD_BYTES:
            self.head += piece[begins : begins + HEAD_BYTES - len(self.head)]

    def _fetch(self, size: int) -> bytes:
        try:
            self.pause()
            piece = bytes(self._file.read(size)[:size])
            self._count_opening(len(piece))
            return piece
        except Exception as error:
            self.error = error
            raise

    def _count_opening(self, count: int) -> None:
        if self._opening_bytes is None:
            return
        self._opening_bytes -= count
        if self._opening_bytes < 0:
            rule = f"more than {OPENING_BYTES >> 20} MiB come before the sound; send the song without pictures"
            raise AudioError("unreadable", rule, field="byte_count", value=OPENING_BYTES)


def _id3_bytes(start: bytes) -> int:
    """Returns the size of the ID3v2 tag that a file starts with, 0 if it starts with none."""
    if start[:3] != b"ID3" or len(start) < ID3_HEADER_BYTES:
        return 0
    return ID3_HEADER_BYTES + sum(
        (byte & 0x7F) << shift for byte, shift in zip(start[6:10], (21, 14, 7, 0), strict=True)
    )
