"""Records how long a batch waited and how long it was painted, in metrics and in the trace of its call."""

from deepsing.runtime.batching import QUEUE_WAIT
from deepsing.telemetry.tracing import record_stages
from services.generator.painter import JobResult

__all__ = ["record_job"]


def record_job(result: JobResult, *, live: bool) -> None:
    """Records a finished job."""
    QUEUE_WAIT.observe(result.queue_wait_s, "live" if live else "offline")
    record_stages(queue=result.queue_wait_s, compute=result.compute_s)
