"""Reads a song from a path, bytes or a stream, in pieces small enough for a message, and sends it."""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import grpc

from deepsing.client.errors import Failed
from deepsing.client.pipes import read_pipe
from deepsing.client.ranges import check_path
from deepsing.rpc.workarounds import keep_status
from deepsing.v1 import composer_pb2 as pb

__all__ = ["Song", "SongSource", "await_answer", "send_song", "CHUNK_BYTES", "SILENCE_LIMIT_S"]

SILENCE_LIMIT_S = 25.0  # the contract promises a message every 15 s
CHUNK_BYTES = 64 * 1024  # most that one message of audio may contain

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
            check_path(song, "the song")
            # A pipe must not be opened to look at it: its writer would find its reader gone.
            self.replayable = stat.S_ISREG(os.stat(song).st_mode)
            if self.replayable:
                _open_file(song).close()  # fails now rather than after connecting
            elif not os.access(song, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(song))
            elif stat.S_ISDIR(os.stat(song).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(song))

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yields the song from its start, never more than CHUNK_BYTES at a time."""
        song = self._song
        if isinstance(song, str | os.PathLike):
            if not self.replayable:
                async with aclosing(read_pipe(song, CHUNK_BYTES)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                return
            with _open_file(song) as file:
                while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                    yield chunk
        elif isinstance(song, AsyncIterable):
            async for piece in song:
                for chunk in _split(piece):
                    yield chunk
        else:
            for chunk in _split(song):
                yield chunk


def _open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a song; not in a thread, because a task that is cancelled meanwhile would leave the file open."""
    return Path(path).open("rb")


def _split(song: bytes) -> Iterator[bytes]:
    for start in range(0, len(song), CHUNK_BYTES):
        yield bytes(song[start : start + CHUNK_BYTES])


async def await_answer(stub: Any, kind: str, first: Any, song: SongSource, timeout_s: float | None) -> Any:
    """As `send_song`, by the RPC Await, in which the composer says all the time that it is at work.

    Args:
        stub: of the composer.
        kind: field of AwaitRequest and AwaitResponse.
        first: as there.
        song: as there; nothing of it is read if the composer does not know Await.
        timeout_s: as there.

    Raises:
        grpc.aio.AioRpcError: the call failed; UNIMPLEMENTED from a composer of an earlier release.
        TimeoutError: nothing came for SILENCE_LIMIT_S.
        Failed: the composer gave no answer.
        OSError: the song cannot be read.
    """
    unreadable, known, ended = list[OSError](), asyncio.Event(), False

    async def build_requests() -> AsyncIterator[pb.AwaitRequest]:
        yield pb.AwaitRequest(**{kind: first})
        await known.wait()
        if ended:  # gRPC does not cancel the task that takes these requests where the call has ended before
            return
        async for chunk in _read_chunks(song, unreadable):
            yield pb.AwaitRequest(**{kind: type(first)(audio_chunk=chunk)})

    call = stub.Await(build_requests(), timeout=timeout_s)
    keep_status(call)
    try:
        while True:
            async with asyncio.timeout(SILENCE_LIMIT_S):
                response = await call.read()
            if response is grpc.aio.EOF:
                raise Failed("the composer ended the call without an answer; update it")
            if response.WhichOneof("payload") == kind:
                return getattr(response, kind)
            known.set()
    except asyncio.CancelledError:
        if unreadable:
            raise unreadable[0] from None
        raise
    finally:
        ended = True
        known.set()
        call.cancel()


async def _read_chunks(song: SongSource, unreadable: list[OSError]) -> AsyncGenerator[bytes]:
    """The song; keeps the error if it cannot be read: gRPC would only say that the call was cancelled."""
    try:
        async with aclosing(song.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk
    except OSError as error:
        unreadable.append(error)
        raise


async def send_song(method: Callable[..., Any], first: Any, song: SongSource, timeout_s: float | None) -> Any:
    """Sends a message and then a song, and returns the one response.

    Args:
        method: of a stub; takes a stream of requests of the type of `first`, which have a field `audio_chunk`.
        first: request that goes before the song.
        song: what to send.
        timeout_s: for the call as a whole; None is no limit.

    Raises:
        grpc.aio.AioRpcError: the call failed.
        OSError: the song cannot be read.
    """
    unreadable: list[OSError] = []

    async def build_requests() -> AsyncIterator[Any]:
        yield first
        async for chunk in _read_chunks(song, unreadable):
            yield type(first)(audio_chunk=chunk)

    try:
        call = method(build_requests(), timeout=timeout_s)
        keep_status(call)
        return await call
    except asyncio.CancelledError:
        if unreadable:
            raise unreadable[0] from None
        raise
