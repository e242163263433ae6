"""One wrapper for the four kinds of methods that gRPC has, for interceptors of a server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any

import grpc

__all__ = ["wrap_handler", "build_refusing_handler", "Around"]

END = object()  # in the place of a response after the last
Around = Callable[[Any], AbstractAsyncContextManager[Any]]
"""Makes what a call runs inside of from the call's context."""
NAMES = {True: "stream", False: "unary"}


def _keep(message: Any) -> Any:
    return message


async def _wait(answer: Awaitable[Any], _context: Any) -> Any:
    return await answer


async def _convert_each(requests: AsyncIterator[Any], convert: Callable[[Any], Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield convert(request)


def wrap_handler(
    handler: grpc.RpcMethodHandler,
    around: Around,
    *,
    on_request: Callable[[Any], Any] = _keep,
    on_response: Callable[[Any], Any] = _keep,
    wait: Callable[[Awaitable[Any], Any], Awaitable[Any]] = _wait,
    wait_each: Callable[[Awaitable[Any]], Awaitable[Any]] | None = None,
    serialized: bool = False,
) -> grpc.RpcMethodHandler:
    """Returns a handler of the same kind, with something done around each call and to each of its messages.

    Args:
        handler: of one method.
        around: is entered before the method runs and left after its last response.
        on_request: takes each request, returns what the method gets in its place.
        on_response: takes each response, returns what is sent in its place.
        wait: takes the awaitable of a single response and the context, and awaits it; not used for streams.
        wait_each: takes the awaitable of each response of a stream, and awaits it.
        serialized: whether `on_request` gets, and `on_response` returns, the bytes of the wire.
    """
    kind = f"{NAMES[handler.request_streaming]}_{NAMES[handler.response_streaming]}"
    method = getattr(handler, kind)

    def call_method(request: Any, context: Any) -> Any:
        if on_request is _keep:
            return method(request, context)
        return method(_convert_each(request, on_request) if handler.request_streaming else on_request(request), context)

    async def respond(request: Any, context: Any) -> Any:
        async with around(context):
            return on_response(await wait(call_method(request, context), context))

    async def respond_with_stream(request: Any, context: Any) -> AsyncIterator[Any]:
        async with around(context):
            responses = call_method(request, context)
            del request  # a large message is not kept as long as it is answered
            async with aclosing(responses):
                async for response in responses if wait_each is None else _iterate(responses, wait_each):
                    yield on_response(response)

    make: Callable[..., grpc.RpcMethodHandler] = getattr(grpc, f"{kind}_rpc_method_handler")
    codec = () if serialized else (handler.request_deserializer, handler.response_serializer)
    return make(respond_with_stream if handler.response_streaming else respond, *codec)


async def _iterate(
    responses: AsyncIterator[Any], wait_each: Callable[[Awaitable[Any]], Awaitable[Any]]
) -> AsyncIterator[Any]:
    while (response := await wait_each(anext(responses, END))) is not END:
        yield response


def build_refusing_handler(around: Around, error: Exception) -> grpc.RpcMethodHandler:
    """Returns a handler that raises `error` inside `around`.

    It is of the kind stream to stream whatever the method is: so every caller reads the status, even before it has
    sent anything.
    """

    async def refuse(_requests: Any, context: Any) -> AsyncIterator[Any]:
        async with around(context):
            raise error
        yield

    return grpc.stream_stream_rpc_method_handler(refuse)
