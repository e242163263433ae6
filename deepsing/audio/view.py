"""The bytes of a song as FFmpeg reads them: without a file name to judge by, and with their beginning kept."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from deepsing.audio.errors import AudioError
from deepsing.audio.tags import id3_bytes

__all__ = ["FileView", "Readable"]

HEAD_BYTES = 1 << 16  # enough for the headers that we read ourselves
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
        head: the first bytes, at most 64 KiB of those read so far, but for ID3 tags and what fills up behind them
            (with pictures in them these grow long).
        head_start: where these begin in the file.
        furthest: up to where it was read so far, bytes.
        error: what the file raised, which FFmpeg would report as a plain I/O error; None if nothing.
        pause: called before each piece that is read; what it raises counts as raised by the file.
    """

    def __init__(self, file: Readable, pause: Callable[[], None] = lambda: None) -> None:
        self.head, self.pause = b"", pause
        self.head_start = 0
        self.furthest = 0
        self.error: Exception | None = None
        self._file = file
        self._position = 0
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
        piece = self._ahead[:size] or self._fetch(size)
        self._ahead = self._ahead[size:]
        self._keep_head(piece)
        self._position += len(piece)
        if piece:  # a place beyond the end is no part of the file
            self.furthest = max(self.furthest, self._position)
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

    def read_at(self, position: int, size: int) -> bytes:
        """Returns `size` bytes from a position, fewer at the end of the file; moves there.

        Where the file cannot seek, only what `head` keeps of it.
        """
        if self._seek is None:
            begin = max(position - self.head_start, 0)
            return self.head[begin : begin + size]
        self.seek(position)
        found = b""
        while len(found) < size and (piece := self.read(size - len(found))):
            found += piece
        return found

    def measure(self) -> int:
        """Returns the length of the file, bytes; moves to its end, and waits for it where it still grows."""
        if self._seek is not None:
            return self.seek(0, io.SEEK_END)
        while self.read(HEAD_BYTES):
            pass
        return self._position

    def _keep_head(self, piece: bytes) -> None:
        """Adds to the head what of a piece continues it."""
        begins = self.head_start + len(self.head) - self._position
        if not 0 <= begins < len(piece) or len(self.head) >= HEAD_BYTES:
            return
        self.head += piece[begins : begins + HEAD_BYTES - len(self.head)]
        while size := id3_bytes(self.head):
            self._drop_head(size)
        if self.head_start:
            self._drop_head(len(self.head) - len(self.head.lstrip(b"\0")))

    def _drop_head(self, size: int) -> None:
        """Takes the first bytes from the head; more than it has where a tag is still being read."""
        self.head, self.head_start = self.head[size:], self.head_start + size

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
