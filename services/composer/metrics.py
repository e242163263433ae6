"""The composer's metrics: sessions, stories, frames, and failed, retried and hedged calls to the other services."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Self

from deepsing.telemetry.metrics import Counter, Gauge, Histogram

__all__ = [
    "DEPENDENCY_FAILURES",
    "DEPENDENCY_HEDGES",
    "DEPENDENCY_RETRIES",
    "LIVE_LAG",
    "STORIES_SET_ASIDE",
    "STORIES_UNENDED",
    "StoryMetrics",
    "count_demand",
]

PACINGS = ("live", "offline")
DEPENDENCIES = ("audio_sentiment", "translator", "generator")
CODES = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "UNAUTHENTICATED")
FIRST_FRAMES_S = (0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10, 20, 30, 60, 120)
LAGS_S = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1, 2, 5, 10)
R_BUCKETS = (0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)

SESSIONS = Gauge(
    "deepsing_sessions", "Sessions that are open; pending until their first frame.", {"state": ("active", "pending")}
)
STORIES = Counter("deepsing_stories", "Stories that were completed.", {"pacing": PACINGS})
RESUMES = Counter("deepsing_resumes", "Sessions that resumed a story.")
FIRST_FRAME = Histogram(
    "deepsing_first_frame_seconds",
    "From a session's start to its first finished frame, seconds.",
    FIRST_FRAMES_S,
    {"pacing": PACINGS},
)
LIVE_LAG = Histogram(
    "deepsing_live_lag_seconds",
    "From the arrival of live audio until its frame is sent, seconds; waiting for credit counts.",
    LAGS_S,
)
FRAMES_MADE = Counter("deepsing_frames_made", "Frames finished.", {"pacing": PACINGS})
FRAMES_SENT = Counter(
    "deepsing_frames_sent", "Frames sent to callers; 0 for stories of which only files are requested."
)
FRAMES_DROPPED = Counter("deepsing_frames_dropped", "Live frames dropped, because they were late or had no credit.")
STORY_R = Histogram(
    "deepsing_story_r",
    "Of each complete story: correlation of the song's sentiment with the judge's readings of the pictures.",
    R_BUCKETS,
    {"dimension": ("arousal", "valence")},
)
DEPENDENCY_FAILURES = Counter(
    "deepsing_dependency_failures",
    "Failed calls to a service, without refusals of invalid requests.",
    {"dependency": DEPENDENCIES, "code": CODES},
)
DEPENDENCY_RETRIES = Counter(
    "deepsing_dependency_retries", "Failed calls to a service that were retried.", {"dependency": DEPENDENCIES}
)
DEPENDENCY_HEDGES = Counter(
    "deepsing_dependency_hedges",
    "Second calls to another replica while the first one was slow.",
    {"dependency": DEPENDENCIES},
)
STORIES_UNENDED = Gauge(
    "deepsing_stories_unended", "Stored stories that wait or are being made, of all composers at the same queue."
)
STORIES_SET_ASIDE = Counter(
    "deepsing_stories_set_aside", "Stored stories that nobody makes, because their records cannot be read; see the log."
)


@contextmanager
def count_demand() -> Iterator[None]:
    """Counts a call that needs the other services as a pending session while it lasts."""
    SESSIONS.add(1, "pending")
    try:
        yield
    finally:
        SESSIONS.add(-1, "pending")


class StoryMetrics:
    """Counts one story. Use it as a context manager from the start of the session or job to its end."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._pacing = "offline"
        self._made = 0  # finished frames of the story, including those of earlier attempts
        self._has_frames = False

    def __enter__(self) -> Self:
        SESSIONS.add(1, "pending")
        return self

    def __exit__(self, *exception: object) -> None:
        SESSIONS.add(-1, "active" if self._has_frames else "pending")

    def count_config(self, *, live: bool, resumed_at: int | None) -> None:
        """Counts the start of a story; resumed_at is its first frame if an earlier attempt made those before it."""
        if resumed_at is not None:
            RESUMES.add()
            self._made = resumed_at
        if live:
            self._pacing = "live"

    def count_sent(self) -> None:
        """Counts a frame that is about to be sent."""
        FRAMES_SENT.add()
        self._count_first()

    def count_dropped(self, count: int) -> None:
        """Counts live frames that were dropped."""
        FRAMES_DROPPED.add(count)

    def count_made(self, frames_done: int) -> None:
        """Counts finished frames; frames_done is the total number of the story so far."""
        if frames_done > self._made:
            FRAMES_MADE.add(frames_done - self._made, self._pacing)
            self._made = frames_done
            self._count_first()

    def count_end(self, frame_count: int, judged_r: tuple[float, float] | None) -> None:
        """Counts a complete story; judged_r is the judge's r (arousal, valence), None if no frame was judged."""
        STORIES.add(1, self._pacing)
        self.count_made(frame_count)
        if judged_r is not None:
            STORY_R.observe(judged_r[0], "arousal")
            STORY_R.observe(judged_r[1], "valence")

    def _count_first(self) -> None:
        if not self._has_frames:
            self._has_frames = True
            SESSIONS.add(-1, "pending")
            SESSIONS.add(1, "active")
            FIRST_FRAME.observe(monotonic() - self._began, self._pacing)
