"""A story over as many Compose calls as it takes: after a break it goes on where it stopped."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

import grpc

from deepsing.client.errors import DeepsingError, Failed, Unavailable
from deepsing.client.options import StoryOptions
from deepsing.client.session import Event, Session
from deepsing.client.song import SongSource
from deepsing.v1.composer_pb2 import AchievedPoint, Frame, FramesDropped, SessionStarted, StoryConfig, StoryFileChunk
from deepsing.v1.sentiment_pb2 import AffectPoint

if TYPE_CHECKING:
    from deepsing.v1.composer_pb2_grpc import ComposerServiceAsyncStub  # the stub's type; not there at run time

__all__ = ["ResumableStory"]

FIRST_PAUSE_S = 0.2  # before a second attempt; doubles with each
LONGEST_PAUSE_S = 5.0
LONGEST_QUEUE_S = 60.0  # a composer that is full for longer ends the story


class ResumableStory:
    """Tells one story; iterate over `events` once.

    Args:
        stub: of the composer.
        target: its address, for messages.
        song: what the story is about.
        options: of the story.
        credit_window: frames that may be on their way at a time, >= 1.
        retries: breaks in a row, without a new frame in between, that are put up with.
        timeout_s: for the whole story; None is no limit.
    """

    def __init__(
        self,
        stub: "ComposerServiceAsyncStub",
        target: str,
        song: SongSource,
        options: StoryOptions,
        *,
        credit_window: int,
        retries: int,
        timeout_s: float | None,
    ) -> None:
        self._stub, self._target, self._song, self._options = stub, target, song, options
        self._window = credit_window
        self._retries = retries
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._story_digest = ""
        self._song_digest = ""
        self._next_seq = 0
        self._next_time_us = 0
        self._next_achieved_us = 0
        self._next_bytes: dict[int, int | None] = {}  # of each file in this session; None where it is whole
        self._breaks = 0
        self._is_over = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yields each event once, whatever breaks in between; credit is granted as frames are taken.

        Pieces of files are the exception: after a break each file comes again from its first byte.

        Raises:
            DeepsingError: the story cannot be told, or not after `retries` more attempts.
        """
        while not self._is_over:
            self._next_bytes = {}
            async with Session(
                self._stub, self._target, self._build_config(), self._song, self._remaining_s()
            ) as session:
                try:
                    async for event in self._read_events(session):
                        yield event
                except Unavailable as error:
                    self._song_digest = self._song_digest or session.song_digest
                    pause_s = self._pause_or_raise(error)
            if not self._is_over:
                await asyncio.sleep(pause_s)

    async def _read_events(self, session: Session) -> AsyncIterator[Event]:
        taken = 0
        while (event := await session.read()) is not None:
            if self._accept(event):
                yield event
            if isinstance(event, Frame):
                taken += 1
            if taken and taken >= self._window // 2:
                await session.grant(taken)
                taken = 0
        self._is_over = True

    def _build_config(self) -> StoryConfig:
        config = self._options.to_config()
        config.initial_credit = self._window
        if self._story_digest:
            config.resume.story_digest = self._story_digest
            config.resume.next_seq = 0 if self._options.files else self._next_seq  # files need all frames once more
            config.resume.song_digest = self._song_digest
        return config

    def _accept(self, event: Event) -> bool:
        """Whether the caller has not had this event yet; notes that it has now."""
        match event:
            case SessionStarted():
                return self._accept_start(event)
            case AffectPoint():
                is_new: bool = event.time_us >= self._next_time_us
                self._next_time_us = max(self._next_time_us, event.time_us + 1)
                return is_new
            case AchievedPoint():
                is_new = event.pts_us >= self._next_achieved_us
                self._next_achieved_us = max(self._next_achieved_us, event.pts_us + 1)
                return is_new
            case Frame():
                return self._accept_frames(event.seq, 1)
            case FramesDropped():
                return self._accept_frames(event.first_seq, event.frame_count)
            case StoryFileChunk():
                return self._accept_piece(event)
        return True

    def _accept_start(self, started: SessionStarted) -> bool:
        if self._story_digest and started.story_digest != self._story_digest:
            raise Failed(f"{self._target} tells another story than before the break (its models differ); start anew")
        is_first = not self._story_digest
        self._story_digest = started.story_digest
        return is_first

    def _accept_frames(self, first_seq: int, frame_count: int) -> bool:
        if first_seq > self._next_seq:
            raise Failed(f"{self._target} sent frame {first_seq} where {self._next_seq} is next; report this")
        if first_seq < self._next_seq:
            return False
        self._next_seq += frame_count
        self._breaks = 0
        return True

    def _accept_piece(self, piece: StoryFileChunk) -> bool:
        wanted = self._next_bytes.get(piece.kind, 0)
        if piece.offset_bytes != wanted:
            place = "nothing more" if wanted is None else f"byte {wanted}"
            raise Failed(f"{self._target} sent byte {piece.offset_bytes} of a file where {place} is due; report this")
        self._next_bytes[piece.kind] = None if piece.last else piece.offset_bytes + len(piece.data)
        return True

    def _remaining_s(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _pause_or_raise(self, error: DeepsingError) -> float:
        """Seconds to wait before going on after a break; raises the break again where there is no going on."""
        may_repeat = self._song.replayable and not self._options.live
        if not (self._is_resumable(error) and may_repeat and self._breaks < self._retries):
            raise error
        pause_s = error.retry_after_s or min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**self._breaks)
        self._breaks += 1
        return pause_s

    def _is_resumable(self, error: DeepsingError) -> bool:
        """Whether it is worth going on: for a story that has begun also where there soon is room for it again."""
        if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return bool(self._story_digest) and (error.retry_after_s or math.inf) <= LONGEST_QUEUE_S
        return error.code is not grpc.StatusCode.DEADLINE_EXCEEDED
