"""An interceptor's wrapper leaves a method of each kind what it is, and sees each message and the end of each call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from deepsing.rpc.errors import InvalidArgument
from deepsing.rpc.handlers import build_refusing_handler, wrap_handler
from deepsing.v1 import error_reason_pb2 as reasons


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    @asynccontextmanager
    async def around(self, context: Any) -> AsyncIterator[None]:
        self.lines.append(f"enter {context}")
        try:
            yield
        finally:
            self.lines.append("leave")

    def on_request(self, request: int) -> int:
        self.lines.append(f"request {request}")
        return 10 * request

    def on_response(self, response: int) -> str:
        self.lines.append(f"response {response}")
        return str(response)


async def stream(*messages: int) -> AsyncIterator[int]:
    for message in messages:
        yield message


async def unary_unary(request: int, _context: Any) -> int:
    return request + 1


async def stream_unary(requests: AsyncIterator[int], _context: Any) -> int:
    return sum([request async for request in requests])


async def unary_stream(request: int, _context: Any) -> AsyncIterator[int]:
    for message in (request, request + 1):
        yield message


async def stream_stream(requests: AsyncIterator[int], _context: Any) -> AsyncIterator[int]:
    async for request in requests:
        yield request + 1


async def call(handler: grpc.RpcMethodHandler, kind: str, *requests: int) -> list[Any]:
    method = getattr(handler, kind)
    answer = method(stream(*requests) if handler.request_streaming else requests[0], "a call")
    return [message async for message in answer] if handler.response_streaming else [await answer]


@pytest.mark.parametrize(
    ("method", "requests", "responses"),
    [
        (unary_unary, (1,), ["11"]),
        (unary_stream, (1,), ["10", "11"]),
        (stream_unary, (1, 2), ["30"]),
        (stream_stream, (1, 2), ["11", "21"]),
    ],
)
async def test_each_kind_stays_what_it_is(method: Any, requests: tuple[int, ...], responses: list[str]) -> None:
    log, kind = Log(), method.__name__
    handler = getattr(grpc, f"{kind}_rpc_method_handler")(method, int, str)
    wrapped = wrap_handler(handler, log.around, on_request=log.on_request, on_response=log.on_response)
    assert await call(wrapped, kind, *requests) == responses
    assert (log.lines[0], log.lines[-1]) == ("enter a call", "leave")
    assert sorted(log.lines[1:-1]) == sorted(
        [f"request {request}" for request in requests] + [f"response {response}" for response in responses]
    )
    assert (wrapped.request_deserializer, wrapped.response_serializer) == (int, str)


async def test_a_caller_that_leaves_a_stream_ends_what_is_around_it() -> None:
    log = Log()
    wrapped = wrap_handler(grpc.unary_stream_rpc_method_handler(unary_stream), log.around)
    responses = wrapped.unary_stream(1, "a call")
    assert await anext(responses) == 1
    await responses.aclose()
    assert log.lines == ["enter a call", "leave"]


def test_with_bytes_of_the_wire_grpc_neither_parses_nor_serializes() -> None:
    handler = grpc.unary_unary_rpc_method_handler(unary_unary, int, str)
    wrapped = wrap_handler(handler, Log().around, serialized=True)
    assert (wrapped.request_deserializer, wrapped.response_serializer) == (None, None)


async def test_a_refusing_handler_raises_inside() -> None:
    log, error = Log(), InvalidArgument("no", reason=reasons.ERROR_REASON_SONG_EMPTY)
    with pytest.raises(InvalidArgument) as raised:
        await call(build_refusing_handler(log.around, error), "stream_stream")
    assert raised.value is error
    assert log.lines == ["enter a call", "leave"]
