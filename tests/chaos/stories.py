"""Stories told while things break, and what is counted of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

from deepsing.client import Client, StoryOptions, telling
from deepsing.client.session import Event, Session
from deepsing.v1 import composer_pb2 as pb

__all__ = ["Told", "tell", "counts", "frame_came"]

counts: Counter[str] = Counter()  # of sessions, of those that found their song held, and of frames
frame_came = asyncio.Event()


@dataclass
class Told:
    """A story as its caller got it."""

    seqs: list[int] = field(default_factory=list)
    digest: str = ""  # SHA-256 over the pictures in the order in which they came
    frame_count: int = -1  # as the end says; -1 where there was none


class CountedSession(Session):
    """Counts what a story needs to be told."""

    async def read(self) -> Event | None:
        """See Session."""
        event = await super().read()
        if isinstance(event, pb.SessionStarted):
            counts["sessions"] += 1
            counts["songs held"] += event.song_held
        return event


telling.Session = CountedSession  # type: ignore[misc]


async def tell(target: str, song: Path, options: StoryOptions, hang_s: float) -> Told:
    """Has a story told; raises what the client raises, and TimeoutError where no frame comes for `hang_s`.

    Args:
        target: of a composer, or of a proxy before several.
        hang_s: longest time between two frames; heartbeats do not count.
    """
    told, hashed = Told(), hashlib.sha256()
    async with (
        Client(target, retries=50, credit_window=24) as client,
        asyncio.timeout(hang_s) as hang,
        aclosing(client.compose(song, options)) as events,
    ):
        async for event in events:
            if isinstance(event, pb.Frame):
                hang.reschedule(asyncio.get_running_loop().time() + hang_s)
                counts["frames"] += 1
                frame_came.set()
                told.seqs.append(event.seq)
                hashed.update(event.image)
            elif isinstance(event, pb.SessionEnd):
                told.frame_count = event.frame_count
    told.digest = hashed.hexdigest()
    return told
