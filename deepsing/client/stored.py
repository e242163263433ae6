"""Watches and fetches stories that the composer renders in the background and stores."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc

from deepsing.client.connection import Connection, Retries
from deepsing.client.errors import Failed, Refused, Unavailable
from deepsing.client.files import StoryFiles, story_paths
from deepsing.client.session import SILENCE_LIMIT_S
from deepsing.client.song import CHUNK_BYTES
from deepsing.v1 import composer_pb2 as pb

__all__ = ["watch_story", "fetch_files"]

FETCH_LIMIT_S = 60.0  # without a byte


async def watch_story(connection: Connection, story_id: str) -> AsyncGenerator[pb.Story, None]:
    """Yields the state of a story whenever it changes, until it has ended; a watch that breaks is begun again.

    Raises:
        DeepsingError: see `deepsing.client.errors`.
    """
    request, retries = pb.WatchStoryRequest(story_id=story_id), Retries(connection.retry)
    while True:
        call = connection.stub.WatchStory(request, timeout=connection.timeout_s)
        try:
            while (story := await _read_story(connection, call)) is not None:
                retries.reset()
                yield story
            return
        except Unavailable as error:
            failure = error
        finally:
            call.cancel()
        await retries.pause(failure)


async def _read_story(connection: Connection, call: Any) -> pb.Story | None:
    """Returns the next state, or None after the last."""
    try:
        with connection.convert_errors():
            async with asyncio.timeout(SILENCE_LIMIT_S):
                response: Any = await call.read()
    except TimeoutError:
        raise Unavailable(f"{connection.target} has said nothing for {SILENCE_LIMIT_S:.0f} s; try again") from None
    return None if response is grpc.aio.EOF else response.story


async def fetch_files(story: pb.Story, folder: Path) -> list[Path]:
    """Saves the files of a story that has succeeded; all of them or none.

    Raises:
        Refused: it has not succeeded.
        Failed: a file cannot be fetched, or is not what the composer says it is.
        OSError: the files cannot be written.
    """
    if story.state != pb.STORY_STATE_SUCCEEDED:
        state = pb.StoryState.Name(story.state).removeprefix("STORY_STATE_").lower()
        raise Refused(f"the story {story.story_id} is {state} and has no files; watch it until it has succeeded")
    paths = story_paths(folder / "story.mp4")
    with StoryFiles({file.kind: paths[file.kind] for file in story.files}) as files:
        for file in story.files:
            await asyncio.to_thread(_fetch_file, file, files)
        files.commit()
    return [paths[file.kind] for file in story.files]


def _fetch_file(file: pb.StoredFile, files: StoryFiles) -> None:
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
                    pb.StoryFileChunk(kind=file.kind, data=data, last=not left, digest=file.digest, offset_bytes=offset)
                )
    except (urllib.error.URLError, HTTPException) as error:
        where = parts.netloc or f"{parts.path} on the composer's machine"
        raise Failed(f"{where} cannot be fetched ({getattr(error, 'reason', error)})") from None
