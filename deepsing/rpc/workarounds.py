"""Faults and gaps of grpc.aio (as of grpcio 1.85) that would reach our callers, each with what is done about it.

Two more are settled elsewhere in this package: the ping timeout of a channel is an option in `channel`, and an
interceptor that has to refuse any kind of call answers it with `handlers.build_refusing_handler`.

One has to be kept in mind wherever a call is made: a task that is cancelled before its request has gone out leaves the
call running on the server. Whoever starts a call therefore ends it with `call.cancel()` in a `finally`.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc

__all__ = ["keep_status", "wrap_each_call", "drain_requests", "is_stray_cancellation", "LateHandlers", "is_noise"]

DRAIN_LIMIT_S = 1.0  # how long at most a refused caller's messages are still read
QUIET_S = 0.1  # a caller that sends nothing for this long is taken to have stopped
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
Metadata = tuple[tuple[str, str], ...]


def keep_status(call: Any) -> None:
    """Client: lets a streaming call end with the server's status instead of INTERNAL.

    A server may refuse or finish a call before it has read all that was sent. The next write then fails, and grpc.aio
    reports "Internal error from Core" instead of the status that the server did send (grpc/grpc#36066). The caller
    would never learn why its song was refused. With this, the failed write is ignored and the server's status is kept.

    Args:
        call: what a stub returned for a stream of requests, before it is awaited or read. If this version of grpc
            keeps its inner call under another name, nothing changes.
    """
    core = getattr(call, "_cython_call", None)
    if core is not None:
        call._cython_call = _IgnoresWriteErrors(core)


class _IgnoresWriteErrors:
    def __init__(self, core: Any) -> None:
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def set_internal_error(self, error: str) -> None:
        """Does nothing, so that the server's status stays."""


async def drain_requests(context: Any) -> None:
    """Server: reads on for a moment while a refused caller still sends, so that its writes do not fail.

    The other half of `keep_status`, for callers who do not use it (grpc/grpc#36066).

    Args:
        context: of a call with a stream of requests, before it is aborted.
    """
    with suppress(TimeoutError, grpc.aio.UsageError, grpc.aio.InternalError):
        async with asyncio.timeout(DRAIN_LIMIT_S):
            while True:
                async with asyncio.timeout(QUIET_S):
                    if await context.read() is grpc.aio.EOF:
                        return


def is_stray_cancellation(error: BaseException) -> bool:
    """Server: whether a CancelledError came out of a handler although nobody cancelled the call.

    grpc.aio sends no status for one, and the caller would wait for ever (grpc/grpc#29248): it must be turned into a
    failure. A CancelledError of a call that is being cancelled has to be raised again instead.
    """
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and not (task is not None and task.cancelling() > 0)


def wrap_each_call(
    channel: grpc.aio.Channel, prepare: Callable[[str], tuple[Metadata, Callable[[Any], None] | None]]
) -> grpc.aio.Channel:
    """Client: adds metadata to every call of a channel.

    A client interceptor of grpc.aio cannot do this here: the calls it returns lack what `keep_status` needs.

    Args:
        channel: is changed in place, and returned.
        prepare: takes the method's path; returns the metadata to add, and a function to call with the call once it
            has been started, or None.
    """

    def wrap_maker(make: Callable[..., Any]) -> Callable[..., Any]:
        def method(path: str, *arguments: Any, **options: Any) -> Callable[..., Any]:
            start = make(path, *arguments, **options)

            def start_with_metadata(*request: Any, metadata: Any = None, **more: Any) -> Any:
                added, on_start = prepare(path)
                call = start(*request, metadata=(*(metadata or ()), *added), **more)
                if on_start is not None:
                    on_start(call)
                return call

            return start_with_metadata

        return method

    for kind in KINDS:
        setattr(channel, kind, wrap_maker(getattr(channel, kind)))
    return channel


class LateHandlers:
    """Server: registers a servicer after the server has started.

    By then grpc has closed its table of methods, but it still takes generic handlers. Pass this to the generated
    `add_…Servicer_to_server` in the place of the server.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: dict[str, grpc.RpcMethodHandler]) -> None:
        """Does nothing: the table is closed."""


def is_noise(record: logging.LogRecord) -> bool:
    """Whether grpc.aio logs that a caller has left, which it reports as an error with a traceback."""
    return str(record.msg).startswith("ExecuteBatchError")
