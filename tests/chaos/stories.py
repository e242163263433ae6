"""Renders stories while things break, and counts their sessions and frames."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from deepsing.client import Client, StoryOptions
from deepsing.client.session import Event, Session
from deepsing.v1 import composer_pb2 as pb

__all__ = ["HANG_S", "STARVE_S", "CountedSession", "StoryResult", "render", "counts", "frame_came"]

HANG_S = 60.0  # a session without a frame or an end for so long hangs; heartbeats do not count
STARVE_S = 240.0  # the longest time without a frame for a story, over any number of broken sessions

counts: Counter[str] = Counter()  # sessions, those with a cached song, and frames
frame_came = asyncio.Event()
renew_patience: ContextVar[Callable[[], None]] = ContextVar("renew_patience")  # of the story that is rendered


@dataclass
class StoryResult:
    """A story as received."""

    seqs: list[int] = field(default_factory=list)
    digest: str = ""  # SHA-256 over the pictures in the order in which they came
    frame_count: int = -1  # from SessionEnd; -1 without one


class CountedSession(Session):
    """Counts the sessions of a story; each session has its own patience."""

    async def __aenter__(self) -> Self:
        """See Session."""
        renew_patience.get()()
        return await super().__aenter__()

    async def read(self) -> Event | None:
        """See Session."""
        event = await super().read()
        if isinstance(event, pb.SessionStarted):
            counts["sessions"] += 1
            counts["songs held"] += event.song_held
        return event


async def render(target: str, song: Path, options: StoryOptions) -> StoryResult:
    """Renders a story. Raises what the client raises, and TimeoutError if it hangs or starves.

    A session has patience of its own only where the client opens a CountedSession.

    Args:
        target: of a composer, or of a proxy before several.
    """
    result, hashed, now_s = StoryResult(), hashlib.sha256(), asyncio.get_running_loop().time
    async with (
        Client(target, retries=50, credit_window=24) as client,
        asyncio.timeout(STARVE_S) as starving,
        asyncio.timeout(HANG_S) as hanging,
        aclosing(client.compose(song, options)) as events,
    ):
        renew_patience.set(lambda: hanging.reschedule(now_s() + HANG_S))
        async for event in events:
            if isinstance(event, pb.Frame):
                renew_patience.get()()
                starving.reschedule(now_s() + STARVE_S)
                counts["frames"] += 1
                frame_came.set()
                result.seqs.append(event.seq)
                hashed.update(event.image)
            elif isinstance(event, pb.SessionEnd):
                result.frame_count = event.frame_count
    result.digest = hashed.hexdigest()
    return result
