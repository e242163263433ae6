"""Lets in the message of a call with one request only when there is memory for it, before any of it is read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc

from deepsing.rpc.errors import DeadlineExceeded, InvalidArgument
from deepsing.runtime.admission import find_caller
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["BodyGate", "limit_wait", "read_late"]

LEAST_BYTES = 64 * 2**20  # of all messages, unless three of the largest need more


class BodyGate:
    """Bytes of messages that are being received, or that were received and not yet answered with anything.

    A message is counted as the largest that there may be until it is there: gRPC does not say how long it will be.
    An owner may receive half at most at a time, or one message. Those who wait go in turns by owner, those who hold
    least first.

    Args:
        largest: bytes of the largest message that the server takes.
    """

    def __init__(self, largest: int) -> None:
        self.largest, self._free = largest, max(3 * largest, LEAST_BYTES)
        self._most_own = self._free // 2
        self._held: dict[str, int] = {}
        self._receiving: dict[str, int] = {}  # messages, by owner
        self._served: dict[str, int] = {}  # messages let in so far, by owner who still waits
        self._waiting: list[tuple[str, asyncio.Future[None], Body]] = []

    @asynccontextmanager
    async def admit(self, owner: str) -> AsyncIterator["Body"]:
        """Waits until a message may be received; what the body still holds is given back at the end."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        body = Body(self, owner)
        self._waiting.append((owner, turn, body))
        try:
            self.let_in()
            await turn
            yield body
        finally:
            self._waiting = [one for one in self._waiting if one[1] is not turn]
            if all(one[0] != owner for one in self._waiting):
                self._served.pop(owner, None)
            body.shrink(0)

    def move(self, owner: str, change: int) -> None:
        """Takes bytes for an owner, or gives them back."""
        self._free -= change
        self._held[owner] = self._held.get(owner, 0) + change
        if not self._held[owner]:
            del self._held[owner]

    def count_received(self, owner: str) -> None:
        """Counts a message that is there, or will not come."""
        self._receiving[owner] -= 1
        if not self._receiving[owner]:
            del self._receiving[owner]

    def let_in(self) -> None:
        """Lets in as many of those who wait as there is room for."""
        while self._free >= self.largest:
            may = [
                (self._held.get(owner, 0), self._served.get(owner, 0), place)
                for place, (owner, turn, _) in enumerate(self._waiting)
                if not turn.done() and self._may_receive(owner)
            ]
            if not may:
                return
            owner, turn, body = self._waiting[min(may)[-1]]
            self._served[owner] = self._served.get(owner, 0) + 1
            self.move(owner, self.largest)
            self._receiving[owner] = self._receiving.get(owner, 0) + 1
            body.size = self.largest
            turn.set_result(None)

    def _may_receive(self, owner: str) -> bool:
        receiving = self._receiving.get(owner, 0)
        return not receiving or (receiving + 1) * self.largest <= self._most_own


class Body:
    """The bytes of one message."""

    def __init__(self, gate: BodyGate, owner: str) -> None:
        self._gate, self._owner, self.size, self._comes = gate, owner, 0, True

    def shrink(self, size: int) -> None:
        """Gives back all but `size` bytes; does nothing if it holds no more."""
        if self._comes and self.size:
            self._gate.count_received(self._owner)
            self._comes = False
        if size < self.size:
            self._gate.move(self._owner, size - self.size)
            self.size = size
        self._gate.let_in()


def read_late(handler: grpc.RpcMethodHandler, gate: BodyGate | None, limit_s: float) -> grpc.RpcMethodHandler:
    """Returns a handler that reads its one message itself, once the gate lets it in.

    To gRPC it is one of a stream of requests: for others it reads the whole message before it calls anything, and
    waits for it without end.

    Args:
        handler: of a method with one request.
        gate: of the server; None lets all in, for methods whose messages are small.
        limit_s: for the message to arrive.
    """
    method = handler.unary_stream if handler.response_streaming else handler.unary_unary
    codec = (handler.request_deserializer, handler.response_serializer)

    async def respond(requests: Any, context: Any) -> Any:
        async with _admit(gate, context) as shrink:
            return await method(await _receive(requests, shrink, limit_s), context)

    async def respond_with_stream(requests: Any, context: Any) -> AsyncIterator[Any]:
        async with _admit(gate, context) as shrink:
            answers = method(await _receive(requests, shrink, limit_s), context)
            async with aclosing(answers) as responses:
                async for response in responses:
                    shrink(0)  # what it needs of a large message lies elsewhere by now
                    yield response

    if handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(respond_with_stream, *codec)
    return grpc.stream_unary_rpc_method_handler(respond, *codec)


@asynccontextmanager
async def _admit(gate: BodyGate | None, context: Any) -> AsyncIterator[Callable[[int], None]]:
    """Waits for the gate; yields what gives back all but so many bytes of the message."""
    if gate is None:
        yield lambda size: None
        return
    caller, connection = find_caller(context)
    async with gate.admit(connection or caller) as body:
        yield body.shrink


@asynccontextmanager
async def limit_wait(limit_s: float) -> AsyncIterator[None]:
    """Limits how long a request is waited for. Raises DeadlineExceeded UPLOAD_STALLED."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        text = f"no request came within {limit_s:g} s; send it with the call"
        raise DeadlineExceeded(text, reason=reasons.ERROR_REASON_UPLOAD_STALLED) from None


async def _receive(requests: AsyncIterator[Any], shrink: Callable[[int], None], limit_s: float) -> Any:
    """The one message, once it is there; no more bytes than it has are held then."""
    async with limit_wait(limit_s):
        request = await anext(requests, None)
        if await anext(requests, None) is not None:  # read to its end, the stream keeps no copy of the message
            text = "the call has a second request; send one message of this method"
            raise InvalidArgument(text, reason=reasons.ERROR_REASON_MESSAGE_UNREADABLE)
    if request is None:
        text = "the call ended without a request; send one message of this method"
        raise InvalidArgument(text, reason=reasons.ERROR_REASON_MESSAGE_UNREADABLE)
    shrink(len(request) if isinstance(request, bytes) else request.ByteSize())
    return request
