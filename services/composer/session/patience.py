"""Answers a call that takes long by a stream, so that nothing between caller and composer takes it for dead."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.session.receive import receive_next

__all__ = ["Method", "await_answer"]

Method = Callable[[AsyncIterator[Any]], Coroutine[Any, Any, Any]]


async def await_answer(
    requests: AsyncIterator[pb.AwaitRequest], methods: Mapping[str, Method], stall_s: float, heartbeat_s: float
) -> AsyncGenerator[pb.AwaitResponse]:
    """Makes the call that the first request belongs to; yields Alive until its answer, and then that.

    Args:
        requests: from the caller.
        methods: by the field of AwaitRequest, and of AwaitResponse; each takes its requests and returns its answer.
        stall_s: time for the first request.
        heartbeat_s: longest time without a response.

    Raises:
        ServiceError: as the method; or INVALID_ARGUMENT CONFIG_MISSING for a request of no method, or of another one.
    """
    incoming = aiter(requests)
    first = await receive_next(incoming, stall_s)
    kind = _find_kind(first, None)
    call = asyncio.create_task(methods[kind](_unwrap(first, incoming, kind)))
    try:
        yield pb.AwaitResponse(alive=pb.Alive())  # the caller sends its song only to a composer that knows this call
        while not (await asyncio.wait({call}, timeout=heartbeat_s))[0]:
            yield pb.AwaitResponse(alive=pb.Alive())
        yield pb.AwaitResponse(**{kind: call.result()})
    finally:
        call.cancel()
        await asyncio.wait({call})


async def _unwrap(
    first: pb.AwaitRequest | None, incoming: AsyncIterator[pb.AwaitRequest], kind: str
) -> AsyncIterator[Any]:
    yield getattr(first, kind)
    async for request in incoming:
        yield getattr(request, _find_kind(request, kind))


def _find_kind(request: pb.AwaitRequest | None, wanted: str | None) -> str:
    kind = request.WhichOneof("payload") if request is not None else None
    if kind is None or wanted not in (None, kind):
        message = f"a message belongs to {kind or 'no call'}; send those of {wanted or 'one call'} only"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_CONFIG_MISSING, field="payload")
    return str(kind)
