"""A service without a domain, for tests: four methods, one of each kind, whose requests say what to do."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from deepsing.rpc.errors import InvalidArgument, ResourceExhausted
from deepsing.rpc.workarounds import keep_status
from deepsing.runtime.server import Service
from deepsing.v1 import error_reason_pb2 as reasons

NAME = "deepsing.test.EchoService"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Echo:
    """Answers with what it got; b"wait" holds a call until `release` is set."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.cleaned = asyncio.Event()
        self.closed = False

    async def close(self) -> None:
        self.closed = True

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        return await self._act(request, context)

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([await self._act(request, context) async for request in requests])

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            if request == b"flood":
                while True:
                    yield bytes(2**20)
            yield await self._act(request, context)
        finally:
            self.cleaned.set()

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await self._act(request, context)

    async def _act(self, request: bytes, context: Any) -> bytes:
        self.started.set()
        match request:
            case b"refuse":
                raise InvalidArgument(
                    "fps is 240; choose 1 to 60",
                    reason=reasons.ERROR_REASON_FRAME_RATE_OUT_OF_RANGE,
                    field="fps",
                    value=240,
                )
            case b"full":
                raise ResourceExhausted(
                    "9 wait; try again in 1.5 s", reason=reasons.ERROR_REASON_QUEUE_FULL, retry_after_s=1.5, quota="key"
                )
            case b"disk full":
                raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")
            case b"fail":
                raise KeyError("secret")
            case b"stray cancel":
                raise asyncio.CancelledError
            case b"abort":
                await context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
            case b"left":
                return str(context.time_remaining()).encode()
            case b"wait":
                try:
                    await self.release.wait()
                finally:
                    self.cleaned.set()
        return request


def register(echo: Echo, server: grpc.aio.Server) -> None:
    handlers = {kind: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(echo, kind)) for kind in KINDS}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))


def service(echo: Echo, opening: Callable[[], Awaitable[object]] | None = None) -> Service:
    async def open_echo() -> Echo:
        if opening:
            await opening()
        return echo

    return Service(name="echo", grpc_name=NAME, register=register, open=open_echo)


async def call(channel: grpc.aio.Channel, kind: str, request: bytes, **options: Any) -> bytes:
    """Calls a method of either kind; returns all that it answered."""
    method = getattr(channel, kind)(f"/{NAME}/{kind}")
    rpc = method(iter([request]) if kind.startswith("stream") else request, **options)
    if kind.startswith("stream"):
        keep_status(rpc)  # on a busy machine an early refusal comes before the request is written
    try:
        if kind.endswith("stream"):
            return b"".join([message async for message in rpc])
        return bytes(await rpc)
    finally:
        rpc.cancel()  # a task cancelled before the request is out would leave the call running (grpcio 1.85)
