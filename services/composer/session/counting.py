"""Counts one session in the metrics, by its requests and responses."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from deepsing.v1 import composer_pb2 as pb
from services.composer.metrics import StoryMetrics

__all__ = ["count_session"]

Requests = AsyncIterator[pb.ComposeRequest]


async def count_session(
    run: Callable[[Requests], AsyncGenerator[pb.ComposeResponse]], requests: Requests
) -> AsyncGenerator[pb.ComposeResponse]:
    """Runs a session, passes its responses on, and counts them.

    Args:
        run: the session's method that turns requests into responses.
        requests: from the caller.
    """
    with StoryMetrics() as metrics:
        async with aclosing(run(_count_requests(requests, metrics))) as responses:
            async for response in responses:
                _count_response(response, metrics)
                yield response


async def _count_requests(requests: Requests, metrics: StoryMetrics) -> AsyncGenerator[pb.ComposeRequest]:
    async for request in requests:
        if request.HasField("config"):
            config = request.config
            resumed_at = config.resume.next_seq if config.HasField("resume") else None
            metrics.count_config(live=config.pacing == pb.PACING_LIVE, resumed_at=resumed_at)
        yield request


def _count_response(response: pb.ComposeResponse, metrics: StoryMetrics) -> None:
    kind = response.WhichOneof("payload")
    if kind == "frame":
        metrics.count_sent()
    elif kind == "heartbeat":
        metrics.count_made(response.heartbeat.frames_done)
    elif kind == "frames_dropped":
        metrics.count_dropped(response.frames_dropped.frame_count)
    elif kind == "session_end":
        end = response.session_end
        judged_r = (end.achieved.arousal.r, end.achieved.valence.r) if end.HasField("achieved") else None
        metrics.count_end(end.frame_count, judged_r)
