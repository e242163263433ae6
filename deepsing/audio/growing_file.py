"""A file that one thread appends to while another already reads it."""

import contextlib
import errno
import hashlib
import io
import tempfile
import threading

from deepsing.audio.errors import AudioError

__all__ = ["GrowingFile"]

MEMORY_BYTES = 1 << 20  # a larger song moves to a temporary file on disk


class _SharedBytes:
    """The bytes, shared by all readers of one upload; `changed` guards every attribute."""

    def __init__(self, limit_bytes: int | None) -> None:
        self.changed = threading.Condition()
        self.file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115 - closed with the last reader
        self.limit_bytes = limit_bytes
        self.length = 0
        self.digest = hashlib.sha256()
        self.finished = False
        self.error: Exception | None = None
        self.reader_count = 0


class GrowingFile:
    """A read-only binary file whose end is still being written.

    `append`, `finish` and `abort` are quick and may be called from an event loop; `read`, and `seek` from the end,
    block until the bytes are there and belong in a decoding thread. Bytes beyond 1 MiB lie in a temporary file on
    disk, which goes when the last reader is closed.

    Args:
        live: True where bytes arrive as they are played: the file is not seekable, so that a decoder never waits
            for the end before it starts.
        limit_bytes: most bytes; the append that exceeds it raises AudioError "too_large". None is no limit.
    """

    def __init__(self, *, live: bool = False, limit_bytes: int | None = None) -> None:
        self._attach(_SharedBytes(limit_bytes), live=live)

    def _attach(self, shared: _SharedBytes, *, live: bool) -> None:
        self._shared = shared
        self._live = live
        self._position = 0
        self._closed = False
        with shared.changed:
            shared.reader_count += 1

    @property
    def length(self) -> int:
        """Bytes appended so far."""
        return self._shared.length

    @property
    def live(self) -> bool:
        """Whether decoders must read forward only."""
        return self._live

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def append(self, chunk: bytes) -> None:
        """Adds bytes at the end.

        Raises:
            AudioError: "too_large", which the readers get as well.
            ValueError: after `finish` or `close`.
            OSError: they cannot be written; the readers get it as well.
            Exception: what `abort` was called with.
        """
        shared = self._shared
        with shared.changed:
            self._check_usable()
            if shared.finished:
                raise ValueError("the file is finished; append before finish()")
            if shared.limit_bytes is not None and shared.length + len(chunk) > shared.limit_bytes:
                shared.error = AudioError(
                    "too_large",
                    f"the song has more than {shared.limit_bytes} bytes; send a shorter or a compressed one",
                    field="byte_count",
                    value=shared.length + len(chunk),
                )
                shared.changed.notify_all()
                raise shared.error
            try:
                shared.file.seek(shared.length)
                shared.file.write(chunk)
            except OSError as error:  # nothing of the chunk counts: a later read must not take it for sound
                shared.error = error
                shared.changed.notify_all()
                raise
            shared.length += len(chunk)
            shared.digest.update(chunk)
            shared.changed.notify_all()

    def finish(self) -> None:
        """Marks the file as complete; may be called again."""
        with self._shared.changed:
            self._shared.finished = True
            self._shared.changed.notify_all()

    def abort(self, error: Exception) -> None:
        """Makes all current and later reads and appends raise `error`; the first abort counts."""
        with self._shared.changed:
            self._shared.error = self._shared.error or error
            self._shared.changed.notify_all()

    def read(self, size: int = -1) -> bytes:
        """Reads what is there, at most `size` bytes; waits for the first byte; reads all up to the end if negative.

        Returns:
            b"" only at the end of the finished file (or if `size` is 0).
        """
        shared = self._shared
        with shared.changed:
            while not (shared.finished or (size >= 0 and self._position < shared.length) or size == 0):
                self._check_usable()
                shared.changed.wait()
            self._check_usable()
            available = max(shared.length - self._position, 0)
            shared.file.seek(self._position)
            piece: bytes = shared.file.read(available if size < 0 else min(size, available))
            if available and size and not piece:
                raise OSError(errno.EIO, "the song is shorter on the disk than it was sent")
            self._position += len(piece)
            return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves the reader; from the end it waits until the file is finished.

        Raises:
            io.UnsupportedOperation: on a live file.
        """
        if self._live:
            raise io.UnsupportedOperation("a live song is read forward only")
        shared = self._shared
        with shared.changed:
            while whence == io.SEEK_END and not shared.finished:
                self._check_usable()
                shared.changed.wait()
            self._check_usable()
            base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: shared.length}[whence]
            if base + offset < 0:
                raise OSError(f"position {base + offset} lies before the start of the file")
            self._position = base + offset
            return self._position

    def tell(self) -> int:
        """Returns the position of the reader, bytes."""
        return self._position

    def seekable(self) -> bool:
        """Whether `seek` works: unless live."""
        return not self._live

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """False: bytes come in by `append` only."""
        return False

    def digest(self) -> str:
        """Returns the SHA-256 of all bytes appended so far, lower-case hex."""
        with self._shared.changed:
            return self._shared.digest.hexdigest()

    def open_again(self) -> "GrowingFile":
        """Returns a second reader of the same bytes, seekable, at its start, which has to be closed as well.

        Raises:
            ValueError: before `finish` or after `close`.
        """
        with self._shared.changed:
            self._check_usable()
            if not self._shared.finished:
                raise ValueError("the file is still growing; open it again after finish()")
        again = GrowingFile.__new__(GrowingFile)
        again._attach(self._shared, live=False)
        return again

    def close(self) -> None:
        """Ends this reader, waking it where it waits; the last one deletes the bytes. May be repeated."""
        shared = self._shared
        with shared.changed:
            if self._closed:
                return
            self._closed = True
            shared.reader_count -= 1
            if shared.reader_count == 0:
                with contextlib.suppress(OSError):  # what a full disk did not take fails once more at close
                    shared.file.close()
            shared.changed.notify_all()

    def __enter__(self) -> "GrowingFile":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._closed:
            raise ValueError("the file is closed")
        if self._shared.error is not None:
            raise self._shared.error
