"""Calls to the RPCs of stored stories."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from deepsing.v1 import composer_pb2 as pb
from tests.unit.composer.fakes import Stage, config, pcm

SONG = pcm(3.0)


async def upload(song: bytes, key: str = "", **fields: Any) -> AsyncIterator[pb.CreateStoryRequest]:
    yield pb.CreateStoryRequest(config=config(**fields), idempotency_key=key)
    for first in range(0, len(song), 65_536):
        yield pb.CreateStoryRequest(audio_chunk=song[first : first + 65_536])


async def create(on: Stage, song: bytes = SONG, key: str = "", **fields: Any) -> pb.CreateStoryResponse:
    response: pb.CreateStoryResponse = await on.stub.CreateStory(upload(song, key, **fields))
    return response


async def watch(on: Stage, story_id: str) -> list[pb.Story]:
    """All responses of WatchStory until the story has ended."""
    return [one.story async for one in on.stub.WatchStory(pb.WatchStoryRequest(story_id=story_id))]


def content(story: pb.Story, kind: pb.StoryFileKind.ValueType) -> bytes:
    """A file of a story that is kept in a folder."""
    url = next(file.url for file in story.files if file.kind == kind)
    return Path(url2pathname(urlsplit(url).path)).read_bytes()
