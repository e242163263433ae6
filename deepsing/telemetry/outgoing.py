"""What calls take along: the ids of the call on whose behalf they are made, and a span of their own."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from deepsing.rpc.workarounds import wrap_each_call
from deepsing.telemetry import tracing
from deepsing.telemetry.ids import TRACE_KEY, outgoing_metadata

__all__ = ["propagate_ids"]

Metadata = tuple[tuple[str, str], ...]
_end_tasks: set[asyncio.Task[None]] = set()  # a task that nobody holds may be forgotten before it ends


def propagate_ids(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """Has every call of a channel carry the ids of this task; where traces are on, each gets a span."""

    def prepare(path: str) -> tuple[Metadata, Callable[[Any], None] | None]:
        span = tracing.start_client_span(path.strip("/"))
        if not span.traceparent:
            return outgoing_metadata(), None
        ids = tuple(item for item in outgoing_metadata() if item[0] != TRACE_KEY)
        return (*ids, (TRACE_KEY, span.traceparent)), lambda call: _end_span_after(call, span)

    return wrap_each_call(channel, prepare)


def _end_span_after(call: Any, span: tracing.CallSpan) -> None:
    async def end(done: Any) -> None:
        span.end_as((await done.code()).name)

    def on_done(done: Any) -> None:
        task = asyncio.get_running_loop().create_task(end(done))
        _end_tasks.add(task)
        task.add_done_callback(_end_tasks.discard)

    call.add_done_callback(on_done)
