"""`Client.render` for programs without an event loop."""

import asyncio
import os
from collections.abc import Callable

from deepsing.access.outgoing import Tls
from deepsing.client.client import DEFAULT_OPTIONS, DEFAULT_TARGET, Client
from deepsing.client.options import StoryOptions
from deepsing.client.session import Event
from deepsing.client.song import Song
from deepsing.client.story import Story

__all__ = ["render_story"]


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
    """Saves a story as OUT.mp4 and the files beside it; see `Client.render`.

    Raises:
        DeepsingError: see `deepsing.client.errors`.
        OSError: the song cannot be read, or the files cannot be written.
    """

    async def render() -> Story:
        async with Client(target, timeout_s=timeout_s, api_key=api_key, tls=tls) as client:
            return await client.render(song, out, options, on_event=on_event)

    return asyncio.run(render())
