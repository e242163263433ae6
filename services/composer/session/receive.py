"""Receives a caller's stream: the config first, then audio, credit, end_of_audio and stop in any order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from deepsing.rpc.errors import InvalidArgument
from deepsing.rpc.uploads import UploadClock
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.session.credit import CreditGate
from services.composer.upload.song_file import SongFile

__all__ = ["require_config", "receive_config", "receive_next", "receive_upload", "receive_song"]

SETTLE_S = 0.05  # a caller that breaks off looks for a moment like one that half-closes
SongRequest = pb.ProbeRequest | pb.PlanStoryRequest | pb.CreateStoryRequest
Request = TypeVar("Request")


async def receive_config(
    incoming: AsyncIterator[pb.ComposeRequest | pb.ProbeRequest | pb.PlanStoryRequest], stall_s: float
) -> pb.StoryConfig:
    """Receives the config, which has to be the first message.

    Raises:
        InvalidArgument: CONFIG_MISSING.
        DeadlineExceeded: UPLOAD_STALLED after `stall_s`.
    """
    return require_config(await receive_next(incoming, stall_s))


async def receive_next(incoming: AsyncIterator[Request], stall_s: float) -> Request | None:
    """Receives the first message, None if there is none. Raises DeadlineExceeded UPLOAD_STALLED after `stall_s`."""
    return await UploadClock(stall_s).receive(incoming)


def require_config(request: pb.ComposeRequest | SongRequest | None) -> pb.StoryConfig:
    """The config of a first message. Raises InvalidArgument CONFIG_MISSING."""
    if request is not None and request.WhichOneof("payload") == "config":
        return request.config
    message = "the first message has no config; send the config first"
    raise InvalidArgument(message, reason=reasons.ERROR_REASON_CONFIG_MISSING, field="config")


async def receive_upload(
    incoming: AsyncIterator[pb.ComposeRequest],
    song_file: SongFile,
    credit_gate: CreditGate,
    on_credit: Callable[[], None],
    stall_s: float,
) -> None:
    """Passes audio to the song file and credit to the credit gate until the caller half-closes.

    Args:
        incoming: the messages after the config.
        song_file: gets the audio.
        credit_gate: gets the credit.
        on_credit: called after each grant; it must not wait, or a caller who reads nothing could not send either.
        stall_s: time without enough audio, while more is to come, that ends the session with UPLOAD_STALLED.
    """
    clock = UploadClock(stall_s, "end_of_audio")
    while True:
        request = await (anext(incoming, None) if song_file.finished else clock.receive(incoming))
        if request is None:
            break
        kind = request.WhichOneof("payload")
        if kind == "credit":
            credit_gate.grant(request.credit)
            on_credit()
        elif kind == "audio_chunk":
            _append_audio(request.audio_chunk, song_file)
            clock.count(len(request.audio_chunk))
        elif kind in ("end_of_audio", "stop"):
            song_file.finish(cut=kind == "stop")
        elif kind == "config":
            raise _duplicate_config_error()
        else:
            raise _empty_message_error("audio_chunk, end_of_audio, credit or stop")
    if not song_file.finished:
        await asyncio.sleep(SETTLE_S)  # this task is cancelled here if the caller is gone: half a song is not the whole
    song_file.finish()
    credit_gate.close()


async def receive_song(incoming: AsyncIterator[SongRequest], song_file: SongFile, stall_s: float) -> None:
    """As `receive_upload`, for RPCs that take nothing but audio after the config."""
    clock = UploadClock(stall_s)
    while True:
        request = await clock.receive(incoming)
        if request is None:
            break
        kind = request.WhichOneof("payload")
        if kind == "config":
            raise _duplicate_config_error()
        if kind is None:
            raise _empty_message_error("audio_chunk")
        song_file.append(request.audio_chunk)
        clock.count(len(request.audio_chunk))
    song_file.finish()


def _duplicate_config_error() -> InvalidArgument:
    message = "a second config arrived; send it once, first"
    return InvalidArgument(message, reason=reasons.ERROR_REASON_CONFIG_DUPLICATE, field="config")


def _empty_message_error(choices: str) -> InvalidArgument:
    message = f"a message is empty; send {choices}"
    return InvalidArgument(message, reason=reasons.ERROR_REASON_CONFIG_MISSING, field="payload")


def _append_audio(chunk: bytes, song_file: SongFile) -> None:
    if song_file.finished:
        message = "audio arrived after end_of_audio; open a new session"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_AUDIO_AFTER_END, field="audio_chunk")
    song_file.append(chunk)
