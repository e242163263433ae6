"""What calls take along: the ids of the call on whose behalf they are made, and a span of their own."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from deepsing.telemetry import tracing
from deepsing.telemetry.ids import TRACE_KEY, carried_ids

__all__ = ["carry_ids", "with_each_call"]

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
Metadata = tuple[tuple[str, str], ...]
_endings: set[asyncio.Task[None]] = set()  # a task that nobody holds may be forgotten before it ends


def with_each_call(
    channel: grpc.aio.Channel, prepare: Callable[[str], tuple[Metadata, Callable[[Any], None] | None]]
) -> grpc.aio.Channel:
    """Has something added to every call of a channel.

    An interceptor is no way to do it: its calls would lack what `runtime.early_end` needs.

    Args:
        channel: to call through.
        prepare: takes the method's path; returns metadata, and what is told of the call once that is under way.
    """

    def method_maker(make: Callable[..., Any]) -> Callable[..., Any]:
        def method(path: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
            call = make(path, *arguments, **options)

            def called(*request: Any, metadata: Any = None, **more: Any) -> Any:
                own, under_way = prepare(path)
                made = call(*request, metadata=(*(metadata or ()), *own), **more)
                if under_way is not None:
                    under_way(made)
                return made

            return called

        return method

    for kind in KINDS:
        setattr(channel, kind, method_maker(getattr(channel, kind)))
    return channel


def carry_ids(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """Has every call of a channel carry the ids of this task; where traces are on, each gets a span."""

    def prepare(path: str) -> tuple[Metadata, Callable[[Any], None] | None]:
        span = tracing.calling(path.strip("/"))
        if not span.traceparent:
            return carried_ids(), None
        ids = tuple(item for item in carried_ids() if item[0] != TRACE_KEY)
        return (*ids, (TRACE_KEY, span.traceparent)), lambda call: _end_with(call, span)

    return with_each_call(channel, prepare)


def _end_with(call: Any, span: tracing.SpanOfCall) -> None:
    async def end(done: Any) -> None:
        span.end_as((await done.code()).name)

    def on_done(done: Any) -> None:
        task = asyncio.get_running_loop().create_task(end(done))
        _endings.add(task)
        task.add_done_callback(_endings.discard)

    call.add_done_callback(on_done)
