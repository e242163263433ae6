"""A story over as many Compose calls as it takes: after a break it goes on where it stopped."""

import math
import time
from collections.abc import AsyncGenerator

import grpc

from deepsing.client.connection import Connection, Retries
from deepsing.client.errors import DeepsingError, Failed, Unavailable
from deepsing.client.options import StoryOptions
from deepsing.client.session import Event, Session
from deepsing.client.song import SongSource
from deepsing.v1.composer_pb2 import AchievedPoint, Frame, FramesDropped, SessionStarted, StoryConfig, StoryFileChunk
from deepsing.v1.sentiment_pb2 import AffectPoint

__all__ = ["ResumableStory"]

LONGEST_QUEUE_S = 60.0  # a composer that is full for longer ends the story


class ResumableStory:
    """One story, over as many Compose calls as it takes; iterate over `read_events` once.

    Args:
        connection: to the composer; its policy says how often a break without a new frame is followed by a retry.
        song: what the story is about.
        options: of the story.
        credit_window: frames that may be on their way at a time, >= 1.
    """

    def __init__(self, connection: Connection, song: SongSource, options: StoryOptions, credit_window: int) -> None:
        self._connection, self._target = connection, connection.target
        self._song, self._options = song, options
        self._window = credit_window
        self._retries = Retries(connection.retry)
        self._story_digest = ""
        self._song_digest = ""
        self._next_seq = 0
        self._next_time_us = 0
        self._next_achieved_us = 0
        self._next_bytes: dict[int, int | None] = {}  # of each file in this session; None where it is whole

    async def read_events(self) -> AsyncGenerator[Event, None]:
        """Yields each event once, whatever breaks in between; credit is granted as frames are taken.

        Pieces of files are the exception: after a break each file comes again from its first byte.

        Raises:
            DeepsingError: the story cannot be made, or not after as many retries as the policy allows.
        """
        limit_s = self._connection.timeout_s
        ends_s = None if limit_s is None else time.monotonic() + limit_s
        while True:
            self._next_bytes, ungranted = {}, 0
            left_s = None if ends_s is None else max(0.0, ends_s - time.monotonic())
            async with Session(self._connection, self._build_config(), self._song, left_s) as session:
                try:
                    while (event := await session.read()) is not None:
                        if self._accept(event):
                            yield event
                        ungranted += isinstance(event, Frame)
                        if ungranted and ungranted >= self._window // 2:
                            await session.grant(ungranted)
                            ungranted = 0
                    return
                except Unavailable as error:
                    self._song_digest = self._song_digest or session.song_digest
                    failure = error
            if not self._is_resumable(failure):
                raise failure
            await self._retries.pause(failure)

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
            raise Failed(f"{self._target} makes another story than before the break (its models differ); start anew")
        is_first = not self._story_digest
        self._story_digest = started.story_digest
        return is_first

    def _accept_frames(self, first_seq: int, frame_count: int) -> bool:
        if first_seq > self._next_seq:
            raise Failed(f"{self._target} sent frame {first_seq} where {self._next_seq} is next; report this")
        if first_seq < self._next_seq:
            return False
        self._next_seq += frame_count
        self._retries.reset()
        return True

    def _accept_piece(self, piece: StoryFileChunk) -> bool:
        wanted = self._next_bytes.get(piece.kind, 0)
        if piece.offset_bytes != wanted:
            place = "nothing more" if wanted is None else f"byte {wanted}"
            raise Failed(f"{self._target} sent byte {piece.offset_bytes} of a file where {place} is due; report this")
        self._next_bytes[piece.kind] = None if piece.last else piece.offset_bytes + len(piece.data)
        return True

    def _is_resumable(self, error: DeepsingError) -> bool:
        """Whether a retry is worth it: a full composer is waited for only if the story has begun."""
        if not self._song.replayable or self._options.live:
            return False
        if error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return bool(self._story_digest) and (error.retry_after_s or math.inf) <= LONGEST_QUEUE_S
        return error.code is not grpc.StatusCode.DEADLINE_EXCEEDED
