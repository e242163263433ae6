"""Keeps an upload on disk while it is read by as many readers as need it, each from its start."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.upload.arrivals import ArrivalLog

__all__ = ["CHUNK_BYTES", "SongFile"]

CHUNK_BYTES = 65_536  # of one message, either way


class SongFile:
    """An upload in a file.

    Args:
        path: file to write.
        limit_bytes: of the whole upload; more raises InvalidArgument SONG_TOO_LARGE.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self.limit_bytes, self.length, self.finished = limit_bytes, 0, False
        self.is_cut = False
        self._hash, self._cached_digest = hashlib.sha256(), ""
        self.arrivals = ArrivalLog()  # of its bytes
        self._readers: list[asyncio.Future[None]] = []

    @property
    def digest(self) -> str:
        """SHA-256 of what has come so far, lower-case hex."""
        return self._cached_digest or self._hash.hexdigest()

    @property
    def is_cached(self) -> bool:
        """Whether the song was held and not sent."""
        return bool(self._cached_digest)

    def append(self, chunk: bytes) -> None:
        """Takes the next bytes."""
        if len(chunk) > CHUNK_BYTES:
            message = f"an audio chunk has {len(chunk)} bytes; send at most {CHUNK_BYTES}"
            reason = reasons.ERROR_REASON_CHUNK_TOO_LARGE
            raise InvalidArgument(message, reason=reason, field="audio_chunk", value=len(chunk))
        if self.length + len(chunk) > self.limit_bytes:
            message = f"the song is larger than {self.limit_bytes / 2**20:g} MiB; encode it smaller"
            raise InvalidArgument(message, reason=reasons.ERROR_REASON_SONG_TOO_LARGE, field="audio_chunk")
        os.pwrite(self._descriptor, chunk, self.length)
        self._hash.update(chunk)
        self.length += len(chunk)
        self.arrivals.record(self.length)
        self._wake_readers()

    def link_cached(self, song: Path, digest: str) -> None:
        """Takes a whole song from a file of the same file system, in the place of an upload that brought nothing."""
        self.path.unlink()
        self.path.hardlink_to(song)
        os.close(self._descriptor)
        self._descriptor = os.open(self.path, os.O_RDONLY)
        self.length, self._cached_digest = os.fstat(self._descriptor).st_size, digest
        self.finish()

    def finish(self, *, cut: bool = False) -> None:
        """No more bytes come; `cut` where the caller wants no more of the song, though there may be more."""
        self.is_cut = self.is_cut or (cut and not self.finished)
        self.finished = True
        self._wake_readers()

    def _wake_readers(self) -> None:
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)
        self._readers.clear()

    async def wait_for_growth(self) -> None:
        """Waits until bytes or the end have come."""
        reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append(reader)
        await reader

    async def wait_until_complete(self) -> None:
        """Waits for the end of the upload."""
        while not self.finished:
            await self.wait_for_growth()

    async def iter_chunks(self) -> AsyncIterator[bytes]:
        """All bytes from the start in pieces, waiting for those that have not come yet."""
        position = 0
        while True:
            while position < self.length:
                chunk = os.pread(self._descriptor, min(CHUNK_BYTES, self.length - position), position)
                position += len(chunk)
                yield chunk
            if self.finished:
                return
            await self.wait_for_growth()

    def close(self) -> None:
        """Lets go of the file; the folder it lies in is deleted by its owner."""
        os.close(self._descriptor)
