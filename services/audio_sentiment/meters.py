"""Counts how much is heard, and how long that takes: the quotient is the real-time factor."""

from collections.abc import Iterable
from time import perf_counter

from deepsing.telemetry.meters import Counter
from services.audio_sentiment.sentiment import WINDOW_US, Point

__all__ = ["listened"]

AUDIO = Counter("deepsing_listening_audio_seconds", "Seconds of song heard.")
COMPUTE = Counter("deepsing_listening_compute_seconds", "Seconds that the network's thread worked on them.")


def listened(points: Iterable[Point]) -> list[Point]:
    """Hears what an analyser has been given, in the thread that calls this; returns its points."""
    began = perf_counter()
    heard = list(points)
    COMPUTE.add(perf_counter() - began)
    AUDIO.add(len(heard) * WINDOW_US / 1e6)
    return heard
