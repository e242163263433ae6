"""Watches a live session: sound goes up as it would be played, and what comes back is noted."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np

from bench.measurement import Measurement
from deepsing.client.session import Event
from deepsing.v1.composer_pb2 import Frame, FramesDropped

__all__ = ["SessionLog", "watch_session"]

Sound = Iterator[tuple[float, bytes]]
"""(Seconds of sound that are over by then, bytes to send then)."""


@dataclass
class SessionLog:
    """What one client saw of its session.

    Attributes:
        lags_s: of each frame, what passed between the sound of its time and the frame.
        dropped: frames named as dropped.
        misplaced: frames, sent or named, that were not the next.
    """

    lags_s: list[float] = field(default_factory=list)
    dropped: int = 0
    misplaced: int = 0
    next_seq: int = 0

    def take(self, event: Event, elapsed_s: float) -> None:
        """Notes an event that came so long after the sound began."""
        if isinstance(event, Frame):
            self.lags_s.append(elapsed_s - event.pts_us / 1e6)
            self._follow(event.seq, 1)
        elif isinstance(event, FramesDropped):
            self.dropped += event.frame_count
            self._follow(event.first_seq, event.frame_count)

    def _follow(self, first_seq: int, count: int) -> None:
        self.misplaced += first_seq != self.next_seq
        self.next_seq = first_seq + count

    def measurements(self, name: str, lag_aim: str = "", dropped_aim: str = "") -> list[Measurement]:
        """For the report."""
        middle, high = (float(np.percentile(self.lags_s, share)) for share in (50, 99))
        label = f"{name}, {len(self.lags_s)} of {self.next_seq} frames"
        return [
            Measurement(f"{label}: lag p50", "s", [middle]),
            Measurement(f"{label}: lag p99", "s", [high], lag_aim),
            Measurement(f"{label}: lag, longest", "s", [max(self.lags_s)]),
            Measurement(f"{label}: dropped and named", "frames", [self.dropped], dropped_aim),
            Measurement(f"{label}: lost unnamed, or out of order", "frames", [self.misplaced], "0"),
        ]


async def watch_session(
    open_session: Callable[[AsyncIterator[bytes]], AsyncGenerator[Event, None]], sound: Sound
) -> SessionLog:
    """Plays sound to a session and logs what comes back.

    Args:
        open_session: begins the session with the sound and gives its events.
        sound: what is played.
    """
    began, seen = 0.0, SessionLog()

    async def capture() -> AsyncIterator[bytes]:
        nonlocal began
        began = time.perf_counter()
        for over_s, chunk in sound:
            await asyncio.sleep(max(0.0, began + over_s - time.perf_counter()))
            if chunk:
                yield chunk

    async with aclosing(open_session(capture())) as events:
        async for event in events:
            seen.take(event, time.perf_counter() - began)
    return seen
