"""One Compose call: sends the song while it receives the story."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Self, TypeAlias

import grpc

from deepsing.client.connection import Connection
from deepsing.client.errors import Failed, Unavailable
from deepsing.client.song import SILENCE_LIMIT_S, SongSource
from deepsing.rpc.workarounds import keep_status
from deepsing.v1.composer_pb2 import (
    AchievedPoint,
    ComposeRequest,
    ComposeResponse,
    EndOfAudio,
    Frame,
    FramesDropped,
    Heartbeat,
    SessionEnd,
    SessionStarted,
    StoryConfig,
    StoryFileChunk,
)
from deepsing.v1.sentiment_pb2 import AffectPoint

__all__ = ["Session", "Event", "SILENCE_LIMIT_S"]

WAITING_MESSAGES = 8  # of audio that may wait to be sent; then reading the song waits
MAX_CREDIT = 1_000_000  # of one message

Event: TypeAlias = (
    SessionStarted | AffectPoint | Frame | AchievedPoint | Heartbeat | FramesDropped | StoryFileChunk | SessionEnd
)
"""An event of a story: one of the contract's messages, to be matched by class."""


class Session:
    """A running Compose call; use it as an asynchronous context.

    Args:
        connection: to the composer.
        config: first message; with a resume point, audio waits for SessionStarted.song_held.
        song: what to send.
        timeout_s: for the whole call; None is no limit.
    """

    def __init__(
        self,
        connection: Connection,
        config: StoryConfig,
        song: SongSource,
        timeout_s: float | None,
    ) -> None:
        self._connection, self._target = connection, connection.target
        self._song = song
        self._outbox = _Outbox(config)
        self._may_send = asyncio.Event()
        self._song_held = False
        if not config.resume.song_digest:
            self._may_send.set()
        self.song_digest = ""  # SHA-256 of the song, once all of it has been queued
        self._call = connection.stub.Compose(aiter(self._outbox), timeout=timeout_s)
        keep_status(self._call)
        self._upload = asyncio.create_task(self._send_song())
        self._upload.add_done_callback(self._give_up_on_failure)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._upload.cancel()
        self._call.cancel()
        await self._outbox.close()
        await asyncio.gather(self._upload, return_exceptions=True)

    async def grant(self, frame_count: int) -> None:
        """Allows the composer to send that many more frames."""
        await self._outbox.grant(frame_count)

    async def read(self) -> Event | None:
        """Returns the next event, or None after the last.

        Raises:
            DeepsingError: the call failed, or the composer has been silent for too long.
            Exception: reading the song raised it.
        """
        response = await self._read_response()
        if response is None:
            return None
        field = response.WhichOneof("payload")
        if field is None:
            raise Failed(f"{self._target} sent a message of a kind that this version does not know; update deepsing")
        event: Event = getattr(response, field)
        if isinstance(event, SessionStarted):
            self._song_held = event.song_held
            self._may_send.set()
        return event

    async def _read_response(self) -> ComposeResponse | None:
        try:
            with self._connection.convert_errors():
                async with asyncio.timeout(SILENCE_LIMIT_S):
                    response = await self._call.read()
        except TimeoutError:
            message = f"{self._target} has said nothing for {SILENCE_LIMIT_S:.0f} s; try again"
            raise Unavailable(message) from None
        except asyncio.CancelledError:
            if failure := _get_failure(self._upload):
                raise failure from None
            raise
        return None if response is grpc.aio.EOF else response

    async def _send_song(self) -> None:
        await self._may_send.wait()
        if not self._song_held:
            digest = hashlib.sha256()
            async with aclosing(self._song.chunks()) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    await self._outbox.put(ComposeRequest(audio_chunk=chunk))
            self.song_digest = digest.hexdigest()
        await self._outbox.put(ComposeRequest(end_of_audio=EndOfAudio()))

    def _give_up_on_failure(self, upload: asyncio.Task[None]) -> None:
        if _get_failure(upload):
            self._call.cancel()


def _get_failure(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


class _Outbox:
    """The requests of one Compose call in the order in which they are sent; iterate over it once.

    Credit goes before audio, so that a slow upload never keeps frames from coming.

    Args:
        config: first message.
    """

    def __init__(self, config: StoryConfig) -> None:
        self._waiting = deque([ComposeRequest(config=config)])
        self._credit = 0
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, request: ComposeRequest) -> None:
        """Queues a request behind those that wait; waits itself while they are many."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._waiting) < WAITING_MESSAGES)
            self._waiting.append(request)
            self._changed.notify_all()

    async def grant(self, frame_count: int) -> None:
        """Allows the composer to send that many more frames."""
        async with self._changed:
            self._credit += frame_count
            self._changed.notify_all()

    async def close(self) -> None:
        """Half-closes the call; what waits is dropped."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def __aiter__(self) -> AsyncIterator[ComposeRequest]:
        yield self._waiting.popleft()
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._closed or self._credit > 0 or bool(self._waiting))
                if self._closed:
                    return
                request = self._take_next()
                self._changed.notify_all()
            yield request

    def _take_next(self) -> ComposeRequest:
        if not self._credit:
            return self._waiting.popleft()
        granted = min(self._credit, MAX_CREDIT)
        self._credit -= granted
        return ComposeRequest(credit=granted)
