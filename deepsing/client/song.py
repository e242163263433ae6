"""A song in pieces that the contract lets through, from wherever the caller has it."""

import asyncio
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path
from typing import TypeAlias

__all__ = ["Song", "SongSource", "CHUNK_BYTES"]

CHUNK_BYTES = 64 * 1024  # most that one message of audio may hold

Song: TypeAlias = str | os.PathLike[str] | bytes | AsyncIterable[bytes]
"""A path, the bytes of an encoded file, or bytes as they come (a microphone, a download)."""


class SongSource:
    """A song that can be sent, more than once where `replayable`.

    Args:
        song: path, bytes or asynchronous iterable of bytes.

    Raises:
        OSError: the path does not lead to a file that can be read.
    """

    def __init__(self, song: Song) -> None:
        self._song = song
        self.replayable = not isinstance(song, AsyncIterable)
        if isinstance(song, str | os.PathLike):
            with Path(song).open("rb") as file:  # says now what would else be found out after connecting
                self.replayable = stat.S_ISREG(os.fstat(file.fileno()).st_mode)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yields the song from its start, never more than CHUNK_BYTES at a time."""
        song = self._song
        if isinstance(song, str | os.PathLike):
            pieces = _read_file(Path(song))
        elif isinstance(song, AsyncIterable):
            pieces = aiter(song)
        else:
            pieces = _yield_whole(song)
        async for piece in pieces:
            for start in range(0, len(piece), CHUNK_BYTES):
                yield bytes(piece[start : start + CHUNK_BYTES])


async def _read_file(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


async def _yield_whole(song: bytes) -> AsyncIterator[bytes]:
    yield song
