"""A song goes up, and one answer comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from deepsing.client.song import SongSource
from deepsing.rpc.workarounds import keep_status

__all__ = ["send_song"]


async def send_song(
    method: Callable[..., Any], first: Any, audio: Callable[[bytes], Any], song: SongSource, timeout_s: float | None
) -> Any:
    """Sends a message and then a song, and returns the answer.

    Args:
        method: of a stub; takes a stream, gives one answer.
        first: message.
        audio: makes the message of a piece of the song.
        song: what to send.
        timeout_s: for the call as a whole; None is no limit.

    Raises:
        grpc.aio.AioRpcError: the call failed.
        OSError: the song cannot be read.
    """
    unreadable: list[OSError] = []

    async def requests() -> AsyncIterator[Any]:
        yield first
        try:
            async for chunk in song.chunks():
                yield audio(chunk)
        except OSError as error:  # gRPC would only say that the call was cancelled
            unreadable.append(error)
            raise

    try:
        call = method(requests(), timeout=timeout_s)
        keep_status(call)
        return await call
    except asyncio.CancelledError:
        if unreadable:
            raise unreadable[0] from None
        raise
