"""The client of a composer, for applications."""

import asyncio
import dataclasses
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from deepsing.access.outgoing import Tls
from deepsing.client.connection import Connection, RetryPolicy
from deepsing.client.errors import Failed, Refused, Unavailable
from deepsing.client.files import StoryFiles, story_paths
from deepsing.client.options import StoryOptions
from deepsing.client.ranges import check_target, check_timeout
from deepsing.client.resumable_story import ResumableStory
from deepsing.client.session import Event
from deepsing.client.song import SILENCE_LIMIT_S, Song, SongSource, await_answer, send_song
from deepsing.client.stored import fetch_files, watch_story
from deepsing.client.story import Story
from deepsing.v1 import composer_pb2 as pb

__all__ = ["Client", "DEFAULT_TARGET", "DEFAULT_OPTIONS", "render_story"]

DEFAULT_TARGET = "127.0.0.1:50051"  # where `deepsing up` serves the composer
DEFAULT_RETRIES = 8  # with their pauses about half a minute, enough for a composer to restart
DEFAULT_FPS = 24  # the composer's
LIVE_WINDOW_S = 0.5  # of live frames that may be on their way; frames reach a slow reader at most so much late
MIN_LIVE_WINDOW = 4  # frames
NO_IMAGES_WINDOW = 1000  # frames without pictures that may be on their way
DEFAULT_OPTIONS = StoryOptions()
SILENT_CALLS = {"probe": "Probe", "plan_story": "PlanStory", "create_story": "CreateStory"}  # of earlier composers


class Client:
    """A connection to a composer; use it as an asynchronous context.

    A story or a watch whose connection breaks, or whose composer does not answer, is tried again: `retries` times in
    a row without progress, with pauses of 0.2 s, doubling up to 5 s, or as long as the composer asks for. The default
    of 8 waits about half a minute. Other calls fail at once.

    Args:
        target: "host:port" of the composer.
        timeout_s: for each call as a whole; None is no limit.
        retries: as above; 0 gives up at the first break.
        on_retry: is called with a sentence for a person before each pause.
        credit_window: frames that may be on their way at a time; the composer keeps those beyond, not this process.
        api_key: key or token, or a function that returns one for each call; sent only over TLS, or to this machine.
        tls: False is plaintext, True trusts the public CAs, `deepsing.access.outgoing.Tls` names files.
        plaintext_key: allows the key to be sent to another machine without TLS.

    Raises:
        Refused: the target names no port, or the time limit is none.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout_s: float | None = None,
        retries: int = DEFAULT_RETRIES,
        on_retry: Callable[[str], None] | None = None,
        credit_window: int = 48,
        api_key: str | Callable[[], str] | None = None,
        tls: Tls | bool = False,
        plaintext_key: bool = False,
    ) -> None:
        self.target = check_target(target)
        self._connection = Connection(target, check_timeout(timeout_s), RetryPolicy(retries, on_retry))
        self._credit_window = credit_window
        self._api_key = api_key
        self._tls = (Tls() if tls else None) if isinstance(tls, bool) else tls
        self._plaintext_key = plaintext_key

    async def __aenter__(self) -> Self:
        self._connection.open(self._api_key, self._tls, plaintext_key=self._plaintext_key)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def probe(self, song: Song, options: StoryOptions = DEFAULT_OPTIONS) -> pb.ProbeResponse:
        """Returns facts about a song, and what its story would cost.

        Raises:
            DeepsingError: see `deepsing.client.errors`.
            OSError: the song cannot be read.
        """
        first = pb.ProbeRequest(config=options.to_config())
        response: pb.ProbeResponse = await self._send_song("probe", first, song)
        return response

    async def plan_story(self, song: Song, options: StoryOptions = DEFAULT_OPTIONS) -> pb.PlanStoryResponse:
        """Returns the keys of a song's story with a small picture of each, before anything is rendered.

        The whole song is planned, whatever part `options` name. Keys that are sent back in `options.storyboard`, as
        they are or changed, and locked, are shown by the story.

        Raises:
            DeepsingError: see `deepsing.client.errors`.
            OSError: the song cannot be read.
        """
        first = pb.PlanStoryRequest(config=options.to_config())
        response: pb.PlanStoryResponse = await self._send_song("plan_story", first, song)
        return response

    def compose(self, song: Song, options: StoryOptions = DEFAULT_OPTIONS) -> AsyncGenerator[Event, None]:
        """Yields the story's events as they come; the composer waits for a slow reader.

        After a break the story goes on at the next frame, if the song can be sent again (a path or bytes): every frame
        comes once. With `options.files` the composer makes the story once more from its first frame, because the files
        need all of them; frames that came before are not yielded again.

        Raises:
            DeepsingError: see `deepsing.client.errors`.
            OSError: the song cannot be read.
        """
        window = NO_IMAGES_WINDOW if options.images == "none" else self._credit_window
        return ResumableStory(self._connection, SongSource(song), options, window).read_events()

    def live(self, sound: AsyncIterable[bytes], options: StoryOptions = DEFAULT_OPTIONS) -> AsyncGenerator[Event, None]:
        """Yields the events of a story while its sound is still coming.

        The composer may send half a second of frames ahead of the reader. A reader that is slower than that loses the
        oldest frames, which FramesDropped names. A break ends the story: its sound cannot be sent again.

        Args:
            sound: bytes as they come, in pieces as short as the lag is to be; raw where `options.audio_format` says so.
            options: of the story; `live` is set here, and `mode` must not be "relative".

        Raises:
            DeepsingError: see `deepsing.client.errors`.
            Exception: what `sound` raised.
        """
        options = dataclasses.replace(options, live=True)
        rate = options.to_config().frame_rate
        frames = LIVE_WINDOW_S * (rate.numerator / rate.denominator if rate.denominator else DEFAULT_FPS)
        window = NO_IMAGES_WINDOW if options.images == "none" else max(MIN_LIVE_WINDOW, round(frames))
        return ResumableStory(self._connection, SongSource(sound), options, window).read_events()

    async def render(
        self,
        song: Song,
        out: str | os.PathLike[str],
        options: StoryOptions = DEFAULT_OPTIONS,
        *,
        on_event: Callable[[Event], None] | None = None,
    ) -> Story:
        """Saves a story as OUT.mp4, with its manifest, contact sheet and sentiment curve beside it.

        All four appear at once when the story is whole, in place of what was there; on any failure none does. After a
        break the composer makes the story once more from its first frame; `create_story` goes on where it stopped.

        Args:
            song: path, bytes, or bytes as they come.
            out: path of the video; its name ends in .mp4.
            options: of the story; `images` and `files` are set here.
            on_event: is called with every event, for a progress bar.

        Raises:
            DeepsingError: see `deepsing.client.errors`.
            OSError: the song cannot be read, or the files cannot be written.
        """
        began_s = time.monotonic()
        paths = story_paths(Path(out))
        _forbid_overwriting(song, paths.values())
        title = options.title or (Path(song).stem[:200] if isinstance(song, str | os.PathLike) else "")
        options = dataclasses.replace(
            options, images="none", files=("video", "manifest", "contact-sheet", "curve"), title=title
        )
        with StoryFiles(paths) as files:
            started, end = await self._receive_files(song, options, files, on_event)
            files.commit()  # not in a thread: a cancelled task must not leave it half done
        video, manifest, contact_sheet, curve = paths.values()
        elapsed_s = time.monotonic() - began_s
        return Story(video, manifest, contact_sheet, curve, started, end, elapsed_s)

    async def _receive_files(
        self, song: Song, options: StoryOptions, files: StoryFiles, on_event: Callable[[Event], None] | None
    ) -> tuple[pb.SessionStarted, pb.SessionEnd]:
        started, end = pb.SessionStarted(), None
        async with aclosing(self.compose(song, options)) as events:
            async for event in events:
                match event:
                    case pb.SessionStarted():
                        started = event
                    case pb.StoryFileChunk():
                        await asyncio.to_thread(files.write, event)
                    case pb.SessionEnd():
                        end = event
                if on_event is not None:
                    on_event(event)
        if end is None:
            raise Failed(f"{self.target} ended the call without ending the story; try again")
        return started, end

    async def create_story(
        self, song: Song, options: StoryOptions = DEFAULT_OPTIONS, *, idempotency_key: str = ""
    ) -> pb.Story:
        """Sends a song and returns once its story is queued, or at once if the same story is stored already.

        Args:
            song: path, bytes, or bytes as they come.
            options: of the story; `images`, `jpeg_quality`, `files` and `achieved` are not used.
            idempotency_key: the same key with the same song and options is one story, however often it is sent, and
                even if models have changed in between.

        Raises:
            DeepsingError: see `deepsing.client.errors`.
            OSError: the song cannot be read.
        """
        first = pb.CreateStoryRequest(config=options.to_config(), idempotency_key=idempotency_key)
        response: pb.CreateStoryResponse = await self._send_song("create_story", first, song)
        return response.story

    async def get_story(self, story_id: str) -> pb.Story:
        """Returns the state of a stored story, with fresh links to its files; raises DeepsingError."""
        request = pb.GetStoryRequest(story_id=story_id)
        with self._connection.convert_errors():
            response: pb.GetStoryResponse = await self._connection.stub.GetStory(
                request, timeout=self._connection.timeout_s
            )
        return response.story

    async def list_stories(self) -> AsyncGenerator[pb.Story, None]:
        """Yields all stored stories of the caller, by id; pages are fetched as needed. Raises DeepsingError."""
        request = pb.ListStoriesRequest()
        while True:
            with self._connection.convert_errors():
                page: pb.ListStoriesResponse = await self._connection.stub.ListStories(
                    request, timeout=self._connection.timeout_s
                )
            for story in page.stories:
                yield story
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def cancel_story(self, story_id: str) -> pb.Story:
        """Stops a stored story that has not ended, and returns its state; raises DeepsingError."""
        request = pb.CancelStoryRequest(story_id=story_id)
        with self._connection.convert_errors():
            response: pb.CancelStoryResponse = await self._connection.stub.CancelStory(
                request, timeout=self._connection.timeout_s
            )
        return response.story

    def watch_story(self, story_id: str) -> AsyncGenerator[pb.Story, None]:
        """Yields the state of a stored story whenever it changes, until it has ended; raises DeepsingError."""
        return watch_story(self._connection, story_id)

    async def fetch_story(self, story_id: str, folder: str | os.PathLike[str]) -> list[Path]:
        """Saves the files of a story that has succeeded, as story.mp4, story.json and so on; all of them or none.

        Raises:
            Refused: it has not succeeded.
            Failed: a file cannot be fetched, or is not what the composer says it is.
            OSError: the files cannot be written.
        """
        return await fetch_files(await self.get_story(story_id), Path(folder))

    async def _send_song(self, kind: str, first: Any, song: Song) -> Any:
        """The one response of a call that takes `first` and then a song; raises as the calls that use it say."""
        stub, source, timeout_s = self._connection.stub, SongSource(song), self._connection.timeout_s
        with self._connection.convert_errors():
            try:
                return await await_answer(stub, kind, first, source, timeout_s)
            except TimeoutError:
                message = f"{self._connection.target} has said nothing for {SILENCE_LIMIT_S:.0f} s; try again"
                raise Unavailable(message) from None
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
            return await send_song(getattr(stub, SILENT_CALLS[kind]), first, source, timeout_s)


def _forbid_overwriting(song: Song, paths: Iterable[Path]) -> None:
    if not isinstance(song, str | os.PathLike):
        return
    for path in paths:
        if path.exists() and path.samefile(song):
            raise Refused(f"{path} is the song itself; choose another name for the story")


def render_story(
    song: Song,
    out: str | os.PathLike[str],
    options: StoryOptions = DEFAULT_OPTIONS,
    *,
    target: str = DEFAULT_TARGET,
    timeout_s: float | None = None,
    on_event: Callable[[Event], None] | None = None,
    api_key: str | Callable[[], str] | None = None,
    tls: Tls | bool = False,
) -> Story:
    """`Client.render` for programs without an event loop: saves a story as OUT.mp4 and the files beside it.

    Raises:
        DeepsingError: see `deepsing.client.errors`.
        OSError: the song cannot be read, or the files cannot be written.
    """

    async def render() -> Story:
        async with Client(target, timeout_s=timeout_s, api_key=api_key, tls=tls) as client:
            return await client.render(song, out, options, on_event=on_event)

    return asyncio.run(render())
