"""Counts how long batches waited for their turn, and shows that and the work on them in the traces of their callers."""

from deepsing.runtime.batching import QUEUE_WAIT
from deepsing.telemetry.tracing import record_stages
from services.generator.painter import JobResult

__all__ = ["record_job"]


def record_job(result: JobResult, *, live: bool) -> None:
    """Records a job that has just been finished."""
    QUEUE_WAIT.observe(result.queue_wait_s, "live" if live else "offline")
    record_stages(queue=result.queue_wait_s, compute=result.compute_s)
