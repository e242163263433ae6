"""Counts how long batches waited for their turn, and shows that and the work on them in the traces of their callers."""

from deepsing.telemetry.batches import QUEUE_WAIT
from deepsing.telemetry.tracing import past
from services.generator.painter import Painted

__all__ = ["note"]


def note(painted: Painted, *, live: bool) -> None:
    """Notes a job that has just been finished."""
    QUEUE_WAIT.observe(painted.queue_wait_s, "live" if live else "offline")
    past(queue=painted.queue_wait_s, compute=painted.compute_s)
