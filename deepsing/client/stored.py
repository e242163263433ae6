"""Stories that the composer tells while nobody waits, and keeps: the part of `Client` that speaks of them."""

import asyncio
import os
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import grpc

from deepsing.client.errors import Failed, Refused, Unavailable
from deepsing.client.files import StoryFiles, story_paths
from deepsing.client.options import StoryOptions
from deepsing.client.sending import send_song
from deepsing.client.session import SILENCE_LIMIT_S
from deepsing.client.song import CHUNK_BYTES, Song, SongSource
from deepsing.client.status import convert_error
from deepsing.v1 import composer_pb2 as composer

if TYPE_CHECKING:
    from deepsing.v1.composer_pb2_grpc import ComposerServiceAsyncStub  # the stub's type; not there at run time

__all__ = ["StoredStories"]

PAUSE_S = 1.0  # before a watch that broke is taken up again
FETCH_LIMIT_S = 60.0  # without a byte
DEFAULT_OPTIONS = StoryOptions()


class StoredStories:
    """What `Client` does with stored stories; each of its methods raises DeepsingError."""

    target: str
    _timeout_s: float | None
    _retries: int

    def _stub(self) -> "ComposerServiceAsyncStub":
        raise NotImplementedError

    async def create_story(
        self, song: Song, options: StoryOptions = DEFAULT_OPTIONS, *, idempotency_key: str = ""
    ) -> composer.Story:
        """Sends a song and returns once the story is queued, or the same story was there.

        Args:
            song: path, bytes, or bytes as they come.
            options: of the story; `images`, `jpeg_quality`, `files` and `achieved` are not used.
            idempotency_key: makes sure that a request that is sent twice is one, also where models change in between.

        Raises:
            OSError: the song cannot be read.
        """
        source = SongSource(song)
        first = composer.CreateStoryRequest(config=options.to_config(), idempotency_key=idempotency_key)
        with self._convert_errors():
            answer: composer.CreateStoryResponse = await send_song(
                self._stub().CreateStory, first, _build_create_request, source, self._timeout_s
            )
        return answer.story

    async def get_story(self, story_id: str) -> composer.Story:
        """Says how a story stands, with fresh links to its files."""
        with self._convert_errors():
            request = composer.GetStoryRequest(story_id=story_id)
            answer: composer.GetStoryResponse = await self._stub().GetStory(request, timeout=self._timeout_s)
        return answer.story

    async def list_stories(self) -> AsyncGenerator[composer.Story, None]:
        """Yields all stories of the caller, in order of their ids; pages are fetched as they are needed."""
        request = composer.ListStoriesRequest()
        while True:
            with self._convert_errors():
                page: composer.ListStoriesResponse = await self._stub().ListStories(request, timeout=self._timeout_s)
            for story in page.stories:
                yield story
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def cancel_story(self, story_id: str) -> composer.Story:
        """Stops a story that has not ended, and says how it stands."""
        with self._convert_errors():
            request = composer.CancelStoryRequest(story_id=story_id)
            answer: composer.CancelStoryResponse = await self._stub().CancelStory(request, timeout=self._timeout_s)
        return answer.story

    async def watch_story(self, story_id: str) -> AsyncGenerator[composer.Story, None]:
        """Yields how a story stands, whenever that changes, until it has ended; a break is healed."""
        breaks = 0
        while True:
            try:
                async with aclosing(self._watch_once(story_id)) as stories:
                    async for story in stories:
                        breaks = 0
                        yield story
                return
            except Unavailable:
                breaks += 1
                if breaks > self._retries:
                    raise
            await asyncio.sleep(PAUSE_S)

    async def _watch_once(self, story_id: str) -> AsyncGenerator[composer.Story, None]:
        call = self._stub().WatchStory(composer.WatchStoryRequest(story_id=story_id), timeout=self._timeout_s)
        try:
            while True:
                with self._convert_errors():
                    answer: Any = await asyncio.wait_for(call.read(), SILENCE_LIMIT_S)
                if answer is grpc.aio.EOF:
                    return
                yield answer.story
        except TimeoutError:
            raise Unavailable(f"{self.target} has said nothing for {SILENCE_LIMIT_S:.0f} s; try again") from None
        finally:
            call.cancel()

    async def fetch_story(self, story_id: str, folder: str | os.PathLike[str]) -> list[Path]:
        """Saves the files of a story that has succeeded, as story.mp4, story.json and so on; all of them or none.

        Raises:
            Refused: it has not succeeded.
            Failed: a file cannot be fetched, or is not what the composer says it is.
            OSError: the files cannot be written.
        """
        story = await self.get_story(story_id)
        if story.state != composer.STORY_STATE_SUCCEEDED:
            state = composer.StoryState.Name(story.state).removeprefix("STORY_STATE_").lower()
            raise Refused(f"the story {story_id} is {state} and has no files; watch it until it has succeeded")
        paths = story_paths(Path(folder) / "story.mp4")
        with StoryFiles({file.kind: paths[file.kind] for file in story.files}) as files:
            for file in story.files:
                await asyncio.to_thread(_fetch_file, file, files)
            files.commit()
        return [paths[file.kind] for file in story.files]

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        """Failed calls as exceptions of `deepsing.client.errors`."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise convert_error(error, self.target) from None


def _build_create_request(chunk: bytes) -> composer.CreateStoryRequest:
    return composer.CreateStoryRequest(audio_chunk=chunk)


def _fetch_file(file: composer.StoredFile, files: StoryFiles) -> None:
    parts = urlsplit(file.url)
    if parts.scheme not in ("http", "https", "file"):
        raise Failed(f"the composer names {parts.scheme!r} as the way to a file; update deepsing")
    try:
        with urllib.request.urlopen(file.url, timeout=FETCH_LIMIT_S) as answer:  # noqa: S310 - checked above
            left = file.byte_count
            while left > 0:
                data = answer.read(min(CHUNK_BYTES, left))
                if not data:
                    raise Failed(f"{parts.netloc or parts.path} broke off, {left} bytes before the end; try again")
                offset, left = file.byte_count - left, left - len(data)
                files.write(
                    composer.StoryFileChunk(
                        kind=file.kind, data=data, last=not left, digest=file.digest, offset_bytes=offset
                    )
                )
    except (urllib.error.URLError, HTTPException) as error:
        where = parts.netloc or f"{parts.path} on the composer's machine"
        raise Failed(f"{where} cannot be fetched ({getattr(error, 'reason', error)})") from None
