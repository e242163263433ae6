"""Counts how much audio is analysed and how long that takes: the quotient is the real-time factor."""

from collections.abc import Iterable
from time import perf_counter

from deepsing.telemetry.metrics import Counter
from services.audio_sentiment.analyser import Point
from services.audio_sentiment.sentiment import WINDOW_US

__all__ = ["collect_points"]

AUDIO = Counter("deepsing_listening_audio_seconds", "Seconds of audio analysed.")
COMPUTE = Counter(
    "deepsing_listening_compute_seconds", "Seconds that the analysis of that audio took in the network's thread."
)


def collect_points(points: Iterable[Point]) -> list[Point]:
    """Computes the points of an analyser, in the thread that calls this, and counts them."""
    began = perf_counter()
    found = list(points)
    COMPUTE.add(perf_counter() - began)
    AUDIO.add(len(found) * WINDOW_US / 1e6)
    return found
