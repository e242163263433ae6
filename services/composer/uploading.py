"""Takes what a caller streams up: the config first, then audio, credit and control in any mixture."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from deepsing.runtime.errors import InvalidInput, TooLate
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.gate import FrameGate
from services.composer.spool import Spool

__all__ = ["config_in", "config_of", "next_of", "receive", "receive_song"]

SongRequest = pb.ProbeRequest | pb.CreateStoryRequest
Request = TypeVar("Request")


async def config_of(incoming: AsyncIterator[pb.ComposeRequest | pb.ProbeRequest], stall_s: float) -> pb.StoryConfig:
    """The config, which has to be the first message; raises TooLate UPLOAD_STALLED where none comes for `stall_s`."""
    return config_in(await next_of(incoming, stall_s))


async def next_of(
    incoming: AsyncIterator[Request], stall_s: float | None, way_out: str = "half-close"
) -> Request | None:
    """The next message, or None after the last; raises TooLate UPLOAD_STALLED where none comes for `stall_s`."""
    try:
        return await asyncio.wait_for(anext(incoming, None), stall_s)
    except TimeoutError:
        message = f"no audio came for {stall_s:g} s; send it faster, or {way_out}"
        raise TooLate(message, reason=reasons.ERROR_REASON_UPLOAD_STALLED) from None


def config_in(request: pb.ComposeRequest | SongRequest | None) -> pb.StoryConfig:
    """The config of a first message; raises InvalidInput CONFIG_MISSING."""
    if request is not None and request.WhichOneof("payload") == "config":
        return request.config
    message = "the first message has no config; send the config first"
    raise InvalidInput(message, reason=reasons.ERROR_REASON_CONFIG_MISSING, field="config")


async def receive(
    incoming: AsyncIterator[pb.ComposeRequest],
    spool: Spool,
    gate: FrameGate,
    credited: Callable[[], Awaitable[None]],
    stall_s: float,
) -> None:
    """Fills the spool and the gate until the caller half-closes.

    Args:
        incoming: what follows the config.
        spool: takes the audio.
        gate: takes the credit.
        credited: called after each grant.
        stall_s: silence, while audio is still to come, that ends the session with UPLOAD_STALLED.
    """
    while True:
        request = await next_of(incoming, None if spool.finished else stall_s, "end_of_audio")
        if request is None:
            break
        kind = request.WhichOneof("payload")
        if kind == "credit":
            gate.grant(request.credit)
            await credited()
        elif kind == "audio_chunk":
            _take_audio(request.audio_chunk, spool)
        elif kind in ("end_of_audio", "stop"):
            spool.finish(cut=kind == "stop")
        elif kind == "config":
            raise _second_config()
        else:
            raise _empty("audio_chunk, end_of_audio, credit or stop")
    spool.finish()
    gate.close()


async def receive_song(incoming: AsyncIterator[SongRequest], spool: Spool, stall_s: float) -> None:
    """Fills the spool with nothing but audio until the caller half-closes; arguments as of `receive`."""
    while True:
        request = await next_of(incoming, stall_s)
        if request is None:
            break
        kind = request.WhichOneof("payload")
        if kind == "config":
            raise _second_config()
        if kind is None:
            raise _empty("audio_chunk")
        spool.append(request.audio_chunk)
    spool.finish()


def _second_config() -> InvalidInput:
    message = "a second config arrived; send it once, first"
    return InvalidInput(message, reason=reasons.ERROR_REASON_CONFIG_DUPLICATE, field="config")


def _empty(choices: str) -> InvalidInput:
    message = f"a message is empty; send {choices}"
    return InvalidInput(message, reason=reasons.ERROR_REASON_CONFIG_MISSING, field="payload")


def _take_audio(chunk: bytes, spool: Spool) -> None:
    if spool.finished:
        message = "audio arrived after end_of_audio; open a new session"
        raise InvalidInput(message, reason=reasons.ERROR_REASON_AUDIO_AFTER_END, field="audio_chunk")
    spool.append(chunk)
