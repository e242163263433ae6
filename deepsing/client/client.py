"""The composer, as an application calls it."""

import asyncio
import dataclasses
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import grpc

from deepsing.access.outgoing import Tls, open_channel
from deepsing.client.errors import Failed, Refused
from deepsing.client.files import StoryFiles, story_paths
from deepsing.client.options import StoryOptions
from deepsing.client.resumable_story import ResumableStory
from deepsing.client.sending import send_song
from deepsing.client.session import Event
from deepsing.client.song import Song, SongSource
from deepsing.client.stored import StoredStories
from deepsing.client.story import Story
from deepsing.runtime.settings import SettingsError
from deepsing.v1 import composer_pb2 as composer
from deepsing.v1.composer_pb2_grpc import ComposerServiceStub

if TYPE_CHECKING:
    from deepsing.v1.composer_pb2_grpc import ComposerServiceAsyncStub  # the stub's type; not there at run time

__all__ = ["Client", "DEFAULT_TARGET"]

DEFAULT_TARGET = "127.0.0.1:50051"  # where `deepsing up` serves the composer
DEFAULT_FPS = 24  # the composer's
MAX_MESSAGE_BYTES = 16 * 2**20  # a raw frame of 1920 x 1920 is 11 MB
LIVE_WINDOW_S = 0.5  # of live frames that may be on their way; a slow reader sees each so much later
MIN_LIVE_WINDOW = 4  # frames
NO_IMAGES_WINDOW = 1000  # frames without pictures that may be on their way
DEFAULT_OPTIONS = StoryOptions()


class Client(StoredStories):
    """A connection to a composer; use it as an asynchronous context.

    Args:
        target: "host:port" of the composer.
        timeout_s: for each call as a whole; None is no limit.
        retries: breaks in a row after which a story is given up; 0 gives up at the first.
        credit_window: frames that may be on their way at a time; they wait with the composer, not in memory here.
        api_key: key or token to present, or what returns one for each call; only over TLS, or to this machine.
        tls: True with the public CAs, or `deepsing.access.outgoing.Tls`; False is plaintext.
        plaintext_key: lets the key go to another machine without TLS.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float | None = None,
        retries: int = 4,
        credit_window: int = 48,
        api_key: str | Callable[[], str] | None = None,
        tls: Tls | bool = False,
        plaintext_key: bool = False,
    ) -> None:
        self.target = target
        self._timeout_s = timeout_s
        self._retries = retries
        self._credit_window = credit_window
        self._api_key = api_key
        self._tls = (Tls() if tls else None) if isinstance(tls, bool) else tls
        self._plaintext_key = plaintext_key
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        try:
            self._channel = open_channel(
                self.target,
                max_message_bytes=MAX_MESSAGE_BYTES,
                key=self._api_key,
                tls=self._tls,
                plaintext_key=self._plaintext_key,
            )
        except SettingsError as error:
            raise Refused(str(error)) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def probe(self, song: Song, options: StoryOptions = DEFAULT_OPTIONS) -> composer.ProbeResponse:
        """Says what a song is and what its story would cost.

        Raises:
            DeepsingError: see `deepsing.client.errors`.
            OSError: the song cannot be read.
        """
        source, first = SongSource(song), composer.ProbeRequest(config=options.to_config())
        with self._convert_errors():
            facts: composer.ProbeResponse = await send_song(
                self._stub().Probe, first, _build_probe_request, source, self._timeout_s
            )
        return facts

    async def compose(self, song: Song, options: StoryOptions = DEFAULT_OPTIONS) -> AsyncGenerator[Event, None]:
        """Yields the story's events as they happen; the composer waits for a reader that takes its time.

        A break is healed where the song can be sent again (a path or bytes, not live): every frame comes once.

        Raises:
            DeepsingError: see `deepsing.client.errors`.
            OSError: the song cannot be read.
        """
        window = NO_IMAGES_WINDOW if options.images == "none" else self._credit_window
        async with aclosing(self._stream_events(song, options, window)) as events:
            async for event in events:
                yield event

    async def live(
        self, sound: AsyncIterable[bytes], options: StoryOptions = DEFAULT_OPTIONS
    ) -> AsyncGenerator[Event, None]:
        """Yields the events of a story while its sound is still being made.

        Frames are granted as they are taken. A reader that takes its time loses the oldest, which FramesDropped names;
        half a second of frames may be on their way to it. A break ends the story: what was not heard cannot be heard
        again.

        Args:
            sound: bytes as they come, in pieces as short as the lag is to be; raw where `options.audio_format` says so.
            options: of the story; `live` is set here, and `mode` must not be "relative".

        Raises:
            DeepsingError: see `deepsing.client.errors`.
            Exception: what `sound` raised.
        """
        wanted = dataclasses.replace(options, live=True)
        rate = wanted.to_config().frame_rate
        frames = LIVE_WINDOW_S * (rate.numerator / rate.denominator if rate.denominator else DEFAULT_FPS)
        window = NO_IMAGES_WINDOW if options.images == "none" else max(MIN_LIVE_WINDOW, round(frames))
        async with aclosing(self._stream_events(sound, wanted, window)) as events:
            async for event in events:
                yield event

    async def _stream_events(self, song: Song, options: StoryOptions, window: int) -> AsyncGenerator[Event, None]:
        story = ResumableStory(
            self._stub(),
            self.target,
            SongSource(song),
            options,
            credit_window=window,
            retries=self._retries,
            timeout_s=self._timeout_s,
        )
        async with aclosing(story.events()) as events:
            async for event in events:
                yield event

    async def render(
        self,
        song: Song,
        out: str | os.PathLike[str],
        options: StoryOptions = DEFAULT_OPTIONS,
        *,
        on_event: Callable[[Event], None] | None = None,
    ) -> Story:
        """Saves a story as OUT.mp4, with its manifest, contact sheet and sentiment curve beside it.

        All four appear at once when the story is whole, in place of what was there; on any failure none does.

        Args:
            song: path, bytes, or bytes as they come.
            out: path of the video; its name ends in .mp4.
            options: of the story; `images` and `files` are set here.
            on_event: is told of every event, for a progress bar.

        Raises:
            DeepsingError: see `deepsing.client.errors`.
            OSError: the song cannot be read, or the files cannot be written.
        """
        began_s = time.monotonic()
        paths = story_paths(Path(out))
        _forbid_overwriting(song, paths.values())
        title = options.title or (Path(song).stem[:200] if isinstance(song, str | os.PathLike) else "")
        wanted = dataclasses.replace(
            options, images="none", files=("video", "manifest", "contact-sheet", "curve"), title=title
        )
        with StoryFiles(paths) as files:
            started, end = await self._receive_story(song, wanted, files, on_event or (lambda event: None))
            files.commit()  # not in a thread: a cancelled task must not leave it half done
        video, manifest, contact_sheet, curve = paths.values()
        return Story(video, manifest, contact_sheet, curve, started, end, time.monotonic() - began_s)

    async def _receive_story(
        self, song: Song, options: StoryOptions, files: StoryFiles, on_event: Callable[[Event], None]
    ) -> tuple[composer.SessionStarted, composer.SessionEnd]:
        started, end = composer.SessionStarted(), None
        async with aclosing(self.compose(song, options)) as events:
            async for event in events:
                match event:
                    case composer.SessionStarted():
                        started = event
                    case composer.StoryFileChunk():
                        await asyncio.to_thread(files.write, event)
                    case composer.SessionEnd():
                        end = event
                on_event(event)
        if end is None:
            raise Failed(f"{self.target} ended the call without ending the story; try again")
        return started, end

    def _stub(self) -> "ComposerServiceAsyncStub":
        if self._channel is None:
            raise RuntimeError("the client is not open; use it as `async with Client(…) as client:`")
        return ComposerServiceStub(self._channel)


def _build_probe_request(chunk: bytes) -> composer.ProbeRequest:
    return composer.ProbeRequest(audio_chunk=chunk)


def _forbid_overwriting(song: Song, paths: Iterable[Path]) -> None:
    if not isinstance(song, str | os.PathLike):
        return
    for path in paths:
        if path.exists() and path.samefile(song):
            raise Refused(f"{path} is the song itself; choose another name for the story")
