"""Counts what sessions do, by looking at the messages that pass between them and their callers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from time import monotonic

from deepsing.telemetry.metrics import Counter, Gauge, Histogram
from deepsing.v1 import composer_pb2 as pb

__all__ = ["LIVE_LAG", "DEPENDENCY_FAILURES", "DEPENDENCY_HEDGES", "DEPENDENCY_RETRIES", "count_session"]

PACINGS = ("live", "offline")
DEPENDENCIES = ("audio_sentiment", "translator", "generator")
CODES = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "UNAUTHENTICATED")
FIRST_FRAMES_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10, 20, 30, 60, 120)
LAGS_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 2, 5, 10)
R_BUCKETS = (0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)

SESSIONS = Gauge(
    "deepsing_sessions", "Sessions that are open; pending until their first frame.", {"state": ("active", "pending")}
)
STORIES = Counter("deepsing_stories", "Stories told to their end.", {"pacing": PACINGS})
RESUMES = Counter("deepsing_resumes", "Sessions that took up a story where another broke off.")
FIRST_FRAME = Histogram(
    "deepsing_first_frame_seconds",
    "From a session's start to its first frame, or where only files are wanted, to the news of it.",
    FIRST_FRAMES_S,
    {"pacing": PACINGS},
)
LIVE_LAG = Histogram(
    "deepsing_live_lag_seconds", "From the arrival of live audio until its frame leaves; credit counts.", LAGS_S
)
FRAMES_MADE = Counter("deepsing_frames_made", "Frames finished, as heartbeats tell it.", {"pacing": PACINGS})
FRAMES_SENT = Counter("deepsing_frames_sent", "Frames sent to callers; none where only files are wanted.")
FRAMES_DROPPED = Counter("deepsing_frames_dropped", "Live frames left out for want of credit.")
STORY_R = Histogram(
    "deepsing_story_r",
    "Of each story that ends: r of the feeling aimed at with the one read off its pictures.",
    R_BUCKETS,
    {"dimension": ("arousal", "valence")},
)
DEPENDENCY_FAILURES = Counter(
    "deepsing_dependency_failures",
    "Calls to a service that failed otherwise than by a refusal of their content.",
    {"dependency": DEPENDENCIES, "code": CODES},
)
DEPENDENCY_RETRIES = Counter(
    "deepsing_dependency_retries", "Failed calls that were tried again.", {"dependency": DEPENDENCIES}
)
DEPENDENCY_HEDGES = Counter(
    "deepsing_dependency_hedges",
    "Calls made again, of another replica, while a slow first one was still waited for.",
    {"dependency": DEPENDENCIES},
)

Requests = AsyncIterator[pb.ComposeRequest]


async def count_session(
    run: Callable[[Requests], AsyncGenerator[pb.ComposeResponse]], requests: Requests
) -> AsyncGenerator[pb.ComposeResponse]:
    """Runs a session, and counts what passes.

    Args:
        run: a session; its requests in, its responses out.
        requests: the caller's.
    """
    meter = _SessionMeter()
    SESSIONS.add(1, "pending")
    try:
        async with aclosing(run(meter.count_requests(requests))) as responses:
            async for response in responses:
                meter.count(response)
                yield response
    finally:
        SESSIONS.add(-1, "active" if meter.painting else "pending")


class _SessionMeter:
    def __init__(self) -> None:
        self.painting = False
        self._began = monotonic()
        self._pacing = "offline"
        self._made = 0  # frames, counted from the story's first

    async def count_requests(self, requests: Requests) -> AsyncGenerator[pb.ComposeRequest]:
        """Passes requests on."""
        async for request in requests:
            if request.HasField("config"):
                self._configure(request.config)
            yield request

    def _configure(self, config: pb.StoryConfig) -> None:
        if config.HasField("resume"):
            RESUMES.add()
            self._made = config.resume.next_seq
        if config.pacing == pb.PACING_LIVE:
            self._pacing = "live"

    def count(self, response: pb.ComposeResponse) -> None:
        """Counts a response that is about to leave."""
        kind = response.WhichOneof("payload")
        if kind == "frame":
            FRAMES_SENT.add()
            self._count_first()
        elif kind == "heartbeat":
            self._count_made(response.heartbeat.frames_done)
        elif kind == "frames_dropped":
            FRAMES_DROPPED.add(response.frames_dropped.frame_count)
        elif kind == "session_end":
            STORIES.add(1, self._pacing)
            self._count_made(response.session_end.frame_count)
            if response.session_end.HasField("achieved"):
                STORY_R.observe(response.session_end.achieved.arousal.r, "arousal")
                STORY_R.observe(response.session_end.achieved.valence.r, "valence")

    def _count_made(self, count: int) -> None:
        if count > self._made:
            FRAMES_MADE.add(count - self._made, self._pacing)
            self._made = count
            self._count_first()

    def _count_first(self) -> None:
        if not self.painting:
            self.painting = True
            SESSIONS.add(-1, "pending")
            SESSIONS.add(1, "active")
            FIRST_FRAME.observe(monotonic() - self._began, self._pacing)
