"""A song's bytes as FFmpeg gets to see them: without a name to believe, with their beginning kept."""

__all__ = ["FileView", "Readable"]

import io
from typing import Protocol

HEAD_BYTES = 1 << 16  # enough for the headers that we read ourselves


class Readable(Protocol):
    """A binary file, a GrowingFile, or anything that reads like one."""

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes; b"" at the end."""
        ...


class FileView:
    """Reads a file from its start, never more at once than asked for, and remembers what went wrong.

    Attributes:
        head: the first bytes, at most 64 KiB of those read so far.
        error: what the file raised, which FFmpeg would report as a plain I/O error; None if nothing.
    """

    def __init__(self, file: Readable) -> None:
        self.head = b""
        self.error: Exception | None = None
        self._file = file
        self._position = 0
        self._ahead = b""  # peeked at, not yet read
        seekable = getattr(file, "seekable", None)
        self._seek = getattr(file, "seek", None) if seekable is None or seekable() else None
        if self._seek is not None:
            self._seek(0)

    def peek(self, size: int) -> bytes:
        """Give the next bytes, fewer than `size` only at the end of the file, without moving on."""
        while len(self._ahead) < size:
            piece = self._fetch(size - len(self._ahead))
            if not piece:
                break
            self._ahead += piece
        return self._ahead[:size]

    def read(self, size: int) -> bytes:
        """Give up to `size` bytes; b"" at the end."""
        piece = self._ahead[:size] or self._fetch(size)
        self._ahead = self._ahead[size:]
        if self._position == len(self.head) < HEAD_BYTES:
            self.head += piece[: HEAD_BYTES - len(self.head)]
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, bytes from the start or, with SEEK_END, from the end."""
        assert self._seek is not None
        assert whence in (io.SEEK_SET, io.SEEK_END)
        try:
            self._position = int(self._seek(offset, whence))
        except Exception as error:
            self.error = error
            raise
        self._ahead = b""
        return self._position

    def tell(self) -> int:
        """Give the position, bytes from the start."""
        return self._position

    def seekable(self) -> bool:
        """Tell whether `seek` may be used."""
        return self._seek is not None

    def _fetch(self, size: int) -> bytes:
        try:
            return bytes(self._file.read(size)[:size])
        except Exception as error:
            self.error = error
            raise
