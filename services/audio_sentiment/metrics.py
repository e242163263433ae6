"""Counts how much is heard, and how long that takes: the quotient is the real-time factor."""

from collections.abc import Iterable
from time import perf_counter

from deepsing.telemetry.metrics import Counter
from services.audio_sentiment.sentiment import WINDOW_US, Point

__all__ = ["collect_points"]

AUDIO = Counter("deepsing_listening_audio_seconds", "Seconds of song heard.")
COMPUTE = Counter("deepsing_listening_compute_seconds", "Seconds that the network's thread worked on them.")


def collect_points(points: Iterable[Point]) -> list[Point]:
    """Runs an analyser over what it has been given, in the thread that calls this; returns its points."""
    began = perf_counter()
    found = list(points)
    COMPUTE.add(perf_counter() - began)
    AUDIO.add(len(found) * WINDOW_US / 1e6)
    return found
