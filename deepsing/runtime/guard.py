"""The outermost interceptor: every call is counted, bounded, logged, and ends with a status that says what to do."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from deepsing.rpc.channel import remaining_s
from deepsing.rpc.errors import STATUS_DETAILS, DeadlineExceeded, InvalidArgument, ServiceError, Unavailable
from deepsing.telemetry.ids import REQUEST_ID_KEY, request_id, take_ids
from deepsing.telemetry.logs import call_facts
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["Guard"]

DRAIN_LIMIT_S, QUIET_S = 1.0, 0.1  # longest that a refused caller is read from; silence after which it is not
METHOD_PATH = re.compile(r"/(\w{1,40}\.)*\w{1,40}/\w{1,40}")  # a method; what else a stranger puts there is not logged
logger = logging.getLogger(__name__)


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Wraps the handlers of a service; health and reflection pass untouched.

    Interceptors inside it may refuse a call by raising a `ServiceError`.

    Args:
        service: its name, for messages.
        max_deadline_s: longest that a unary call may take, whatever the caller allows.
    """

    def __init__(self, service: str, max_deadline_s: float) -> None:
        self.ready = False  # while it is not, calls are refused with RetryInfo
        self._service = service
        self._max_deadline_s = max_deadline_s
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def wait_idle(self) -> None:
        """Waits until no call is under way, answers sent."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Returns the guarded handler of a method; None for a method that nobody has."""
        method: str = handler_call_details.method
        foreign = method.startswith("/grpc.")
        take_ids(handler_call_details.invocation_metadata or ())
        call_facts.set({f"{what}_{way}": 0 for what in ("messages", "bytes") for way in ("in", "out")})
        if not self.ready and not foreign:
            text = f"{self._service} is opening or closing; try again in 2 s"
            reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
            return self._build_refusal_handler(method, Unavailable(text, reason=reason, retry_after_s=2))
        try:
            handler = await continuation(handler_call_details)
        except ServiceError as error:
            return self._build_refusal_handler(method, error)
        return handler if foreign or not handler else self._wrap_handler(method, handler)

    def begin_call(self, context: Any) -> None:
        """Counts a call until its answer and status are sent, or it is cut off."""
        self._active += 1
        self._idle.clear()
        context.add_done_callback(self._end_call)

    def _end_call(self, _context: Any) -> None:
        self._active -= 1
        if not self._active:
            self._idle.set()

    def _build_refusal_handler(self, method: str, error: ServiceError) -> grpc.RpcMethodHandler:
        async def refuse(_requests: Any, context: Any) -> AsyncIterator[Any]:
            async with _track_call(self, method if METHOD_PATH.fullmatch(method) else "(no method)", context):
                raise error
            yield

        return grpc.stream_stream_rpc_method_handler(refuse)  # any caller can read its status, having sent nothing

    def _wrap_handler(self, method: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        kinds = {True: "stream", False: "unary"}
        kind = f"{kinds[handler.request_streaming]}_{kinds[handler.response_streaming]}"
        inner = getattr(handler, kind)
        cap_s = None if handler.request_streaming else self._max_deadline_s
        parse = _parse_messages if handler.request_streaming else _parse_message
        read, write = handler.request_deserializer or bytes, handler.response_serializer or bytes

        async def answer(request: Any, context: Any) -> bytes:
            async with _track_call(self, method, context, streams_up=handler.request_streaming):
                return _count_message(
                    "out", write(await _await_in_time(inner(parse(read, request), context), context, cap_s))
                )

        async def answers(request: Any, context: Any) -> AsyncIterator[bytes]:
            call = _track_call(self, method, context, streams_up=handler.request_streaming)
            async with call, aclosing(inner(parse(read, request), context)) as messages:
                async for message in messages:
                    yield _count_message("out", write(message))

        make: Callable[..., grpc.RpcMethodHandler] = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(answers if handler.response_streaming else answer)  # bytes to gRPC: its own errors would leak


@asynccontextmanager
async def _track_call(guard: Guard, method: str, context: Any, *, streams_up: bool = False) -> AsyncIterator[None]:
    """One call from its start to its status and its line in the log."""
    began, peer = time.monotonic(), context.peer()
    guard.begin_call(context)
    context.set_trailing_metadata(((REQUEST_ID_KEY, request_id.get()),))
    code, outcome, failure = "OK", "answered", None
    try:
        yield
    except ServiceError as error:
        code, outcome = error.code.name, f"refused: {error}"
        call_facts.get()["reason"] = error.reason_name
        if streams_up:
            await _drain_requests(context)
        await _abort(context, error)
    except grpc.aio.AbortError:
        code, outcome = getattr(context.code(), "name", "UNKNOWN"), "aborted"
        raise
    except GeneratorExit:
        code, outcome = "CANCELLED", "the caller has gone"
        raise
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
            code, outcome = "CANCELLED", "the caller has gone, its time is over, or the server stops"
            raise
        # A stray CancelledError would leave the caller without a status for ever (grpc#29248).
        code, outcome, failure = "INTERNAL", "failed", error
        call_facts.get()["reason"] = "INTERNAL"
        await _abort(context, _internal_error())
    finally:
        fields = call_facts.get()  # the same object: whoever observes the call reads its code there
        fields |= {"rpc": method, "code": code, "duration_ms": round((time.monotonic() - began) * 1e3, 1), "peer": peer}
        logger.log(logging.ERROR if failure else logging.INFO, outcome, extra={"fields": fields}, exc_info=failure)


async def _drain_requests(context: Any) -> None:
    """Reads on for a moment while a refused caller still writes, so that its writes do not fail.

    Where one does, clients of grpc.aio report INTERNAL in the place of the status that was sent (grpc/grpc#36066).
    """
    with suppress(TimeoutError, grpc.aio.UsageError, grpc.aio.InternalError):
        async with asyncio.timeout(DRAIN_LIMIT_S):
            while True:
                async with asyncio.timeout(QUIET_S):
                    if await context.read() is grpc.aio.EOF:
                        return


async def _abort(context: Any, error: ServiceError) -> None:
    trailers = ((STATUS_DETAILS, error.to_status().SerializeToString()), (REQUEST_ID_KEY, request_id.get()))
    await context.abort(error.code, str(error), trailers)


async def _await_in_time(answer: Awaitable[Any], context: Any, cap_s: float | None) -> Any:
    limit_s = None if cap_s is None else remaining_s(context, cap_s)
    try:
        async with asyncio.timeout(limit_s) as timer:
            return await answer
    except TimeoutError:
        if not timer.expired():
            raise
        text = f"the answer was not ready after {limit_s:.3g} s; allow more time, at most {cap_s:g} s, or ask for less"
        raise DeadlineExceeded(text, reason=reasons.ERROR_REASON_DEADLINE_PASSED) from None


def _internal_error() -> ServiceError:
    text = f"internal error; quote request {request_id.get()} to the operator"
    return ServiceError(text, reason=reasons.ERROR_REASON_INTERNAL, request_id=request_id.get())


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _count_message(way: str, message: bytes) -> bytes:
    facts = call_facts.get()
    facts[f"messages_{way}"] += 1
    facts[f"bytes_{way}"] += len(message)
    return message


def _parse_message(read: Callable[[bytes], Any], received: bytes) -> Any:
    try:
        return read(_count_message("in", received))
    except DecodeError as error:
        text = f"{len(received)} bytes came that are no message of this method; build it from the contract"
        raise InvalidArgument(text, reason=reasons.ERROR_REASON_MESSAGE_UNREADABLE) from error


async def _parse_messages(read: Callable[[bytes], Any], stream: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for received in stream:
        yield _parse_message(read, received)
