"""A song on disk that any number of readers can read from its start while it is still uploaded."""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from deepsing.rpc.errors import InvalidArgument
from deepsing.runtime.byte_budget import ByteShare
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.upload.arrivals import ArrivalLog

__all__ = ["CHUNK_BYTES", "SongFile"]

CHUNK_BYTES = 65_536  # of one message, in both directions


class SongFile:
    """A song that is uploaded to a file.

    Args:
        path: file to write.
        limit_bytes: largest song.
        disk: share of the disk that grows with the song; the caller closes it once the file is deleted.
    """

    def __init__(self, path: Path, limit_bytes: int, disk: ByteShare | None = None) -> None:
        self.path, self._disk = path, disk
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._limit_bytes, self.length, self.finished = limit_bytes, 0, False
        self.is_cut = False
        self._hash, self._cached_digest = hashlib.sha256(), ""
        self.arrivals = ArrivalLog()  # of the upload's bytes
        self._readers: list[asyncio.Future[None]] = []

    @classmethod
    def whole(cls, song: Path) -> Self:
        """A complete song from a file, which is left in place; blocks to hash it."""
        with song.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        song_file = cls(song.with_name(f"{song.name}.whole"), limit_bytes=0)
        song_file.link_cached(song, digest)
        return song_file

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes so far, lower-case hex."""
        return self._cached_digest or self._hash.hexdigest()

    @property
    def is_cached(self) -> bool:
        """Whether the song was taken from a file (the cache) instead of an upload."""
        return bool(self._cached_digest)

    def append(self, chunk: bytes) -> None:
        """Appends the next bytes.

        Raises:
            InvalidArgument: CHUNK_TOO_LARGE or SONG_TOO_LARGE.
            ResourceExhausted: DISK_FULL, if the share cannot grow.
            OSError: they cannot be written; the song is cut where the last whole chunk ended.
        """
        if len(chunk) > CHUNK_BYTES:
            message = f"an audio chunk has {len(chunk)} bytes; send at most {CHUNK_BYTES}"
            reason = reasons.ERROR_REASON_CHUNK_TOO_LARGE
            raise InvalidArgument(message, reason=reason, field="audio_chunk", value=len(chunk))
        if self.length + len(chunk) > self._limit_bytes:
            message = f"the song is larger than {self._limit_bytes / 2**20:g} MiB; encode it smaller"
            raise InvalidArgument(message, reason=reasons.ERROR_REASON_SONG_TOO_LARGE, field="audio_chunk")
        if self._disk is not None:
            self._disk.resize(self._disk.size + len(chunk))
        self._write(chunk)
        self._hash.update(chunk)
        self.length += len(chunk)
        self.arrivals.record(self.length)
        self._wake_readers()

    def _write(self, chunk: bytes) -> None:
        """Writes a chunk whole: a disk that is nearly full takes a part of it, and says so at the next one only."""
        written = 0
        try:
            while written < len(chunk):
                written += os.pwrite(self._descriptor, chunk[written:], self.length + written)
        except OSError:
            self.finish(cut=True)
            raise

    def link_cached(self, song: Path, digest: str) -> None:
        """Links a complete song from a file of the same file system; only if nothing was uploaded."""
        self.path.unlink()
        self.path.hardlink_to(song)
        os.close(self._descriptor)
        self._descriptor = os.open(self.path, os.O_RDONLY)
        self.length, self._cached_digest = os.fstat(self._descriptor).st_size, digest
        self.finish()

    def finish(self, *, cut: bool = False) -> None:
        """Ends the upload; `cut` says that the caller stopped before the end of the song."""
        self.is_cut = self.is_cut or (cut and not self.finished)
        self.finished = True
        self._wake_readers()

    def _wake_readers(self) -> None:
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)
        self._readers.clear()

    async def wait_for_growth(self) -> None:
        """Waits until more bytes, or the end, have arrived."""
        reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append(reader)
        await reader

    async def wait_until_complete(self) -> None:
        """Waits for the end of the upload."""
        while not self.finished:
            await self.wait_for_growth()

    async def iter_chunks(self) -> AsyncIterator[bytes]:
        """Yields all bytes from the start, waiting for those that have not arrived yet. Raises OSError."""
        position = 0
        while True:
            while position < self.length:
                chunk = os.pread(self._descriptor, min(CHUNK_BYTES, self.length - position), position)
                if not chunk:
                    raise OSError(errno.EIO, "the song is shorter on the disk than it was sent", str(self.path))
                position += len(chunk)
                yield chunk
            if self.finished:
                return
            await self.wait_for_growth()

    def close(self) -> None:
        """Closes the file; whoever made its folder deletes it."""
        os.close(self._descriptor)
