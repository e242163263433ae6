"""The interceptor around all methods: limits time, logs each call, and turns every failure into a helpful status."""

import asyncio
import logging
import re
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from deepsing.rpc.channel import remaining_s
from deepsing.rpc.errors import (
    STATUS_DETAILS,
    DeadlineExceeded,
    InvalidArgument,
    ServiceError,
    Unavailable,
    Unimplemented,
)
from deepsing.rpc.handlers import build_refusing_handler, wrap_handler
from deepsing.rpc.machine import convert_machine_error
from deepsing.rpc.workarounds import drain_requests, is_stray_cancellation
from deepsing.runtime.admission import Shares, find_caller
from deepsing.runtime.bodies import BodyGate, limit_wait, read_late
from deepsing.runtime.settings import ServerSettings
from deepsing.telemetry.ids import REQUEST_ID_KEY, request_id, take_ids
from deepsing.telemetry.logs import call_facts
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["Guard"]

HEALTH = "/grpc.health."  # probes must get through, whatever else is open
METHOD_PATH = re.compile(
    r"/(\w{1,40}\.)*\w{1,40}/\w{1,40}"
)  # only paths of this form are logged: anybody can send anything
logger = logging.getLogger(__name__)


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Wraps the handlers of a service; of those of health and reflection, only the time for their requests is limited.

    Interceptors inside it may refuse a call by raising a `ServiceError`.

    Args:
        service: its name, for messages.
        settings: limits of calls: how many at a time, and how long they may take.
        slow: seconds that the message of a method may take instead of `first_message_s`, by the method's path.
        largest_bytes: of the largest message that the server takes.
    """

    def __init__(self, service: str, settings: ServerSettings, slow: Mapping[str, float], largest_bytes: int) -> None:
        self.ready = False  # while False, calls are refused with RetryInfo
        self.service = service
        self._settings, self._slow, self._bodies = settings, dict(slow), BodyGate(largest_bytes)
        reason = reasons.ERROR_REASON_CALLS_EXHAUSTED
        most = settings.max_concurrent_rpcs
        self.shares = Shares(most, settings.max_rpcs_per_caller or (most + 1) // 2, "calls", reason)
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def wait_idle(self) -> None:
        """Waits until no call is running and all responses are sent."""
        await self._idle.wait()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Returns the guarded handler of a method; None if the service has no such method."""
        method: str = handler_call_details.method
        foreign = method.startswith("/grpc.")
        take_ids(handler_call_details.invocation_metadata or ())
        call_facts.set({f"{what}_{way}": 0 for what in ("messages", "bytes") for way in ("in", "out")})
        if not self.ready and not foreign:
            text = f"{self.service} is starting or stopping; try again in 2 s"
            reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
            return self._refuse(method, Unavailable(text, reason=reason, retry_after_s=2))
        try:
            handler = await continuation(handler_call_details)
        except ServiceError as error:
            return self._refuse(method, error)
        if handler is None:
            text = "there is no such method here; use the stubs of the contract"
            return self._refuse(method, Unimplemented(text, reason=reasons.ERROR_REASON_METHOD_UNKNOWN))
        return self._wrap_foreign(method, handler) if foreign else self._wrap_handler(method, handler)

    def begin_call(self, context: Any) -> None:
        """Counts a call as running until its status is sent or it is cancelled."""
        self._active += 1
        self._idle.clear()
        context.add_done_callback(self._end_call)

    def _end_call(self, _context: Any) -> None:
        self._active -= 1
        if not self._active:
            self._idle.set()

    def _refuse(self, method: str, error: ServiceError) -> grpc.RpcMethodHandler:
        shown = method if METHOD_PATH.fullmatch(method) else "(no method)"
        return build_refusing_handler(lambda context: _track_call(self, shown, context), error)

    def _wrap_foreign(self, method: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        @asynccontextmanager
        async def convert_refusal(context: Any) -> AsyncIterator[None]:
            try:
                with nullcontext() if method.startswith(HEALTH) else self.shares.hold(*find_caller(context)):
                    yield
            except ServiceError as error:
                facts = {"rpc": method, "code": error.code.name, "reason": error.reason_name, "peer": context.peer()}
                logger.info("refused: %s", error, extra={"fields": call_facts.get() | facts})
                await _abort(context, error)

        if not handler.request_streaming:
            return wrap_handler(read_late(handler, None, self._find_limit_s(method)), convert_refusal)

        async def receive_each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
            while True:
                async with limit_wait(self._settings.first_message_s):
                    request = await anext(requests, None)
                if request is None:
                    return
                yield request

        serve = handler.stream_stream  # reflection
        codec = (handler.request_deserializer, handler.response_serializer)
        limited = grpc.stream_stream_rpc_method_handler(lambda requests, c: serve(receive_each(requests), c), *codec)
        return wrap_handler(limited, convert_refusal)

    def _find_limit_s(self, method: str) -> float:
        return self._slow.get(method, self._settings.first_message_s)

    def _wrap_handler(self, method: str, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        streams_up = handler.request_streaming
        cap_s = None if streams_up else self._settings.max_deadline_s
        read, write = handler.request_deserializer or bytes, handler.response_serializer or bytes
        return wrap_handler(
            handler if streams_up else read_late(handler, self._bodies, self._find_limit_s(method)),
            lambda context: _track_call(self, method, context, streams_up=streams_up),
            on_request=lambda received: _parse_message(read, received),
            on_response=lambda message: _count_message("out", write(message)),
            wait=lambda answer, context: _await_in_time(answer, context, cap_s),
            serialized=True,  # an error of gRPC's own parser would show what is inside
        )


@asynccontextmanager
async def _track_call(guard: Guard, method: str, context: Any, *, streams_up: bool = False) -> AsyncIterator[None]:
    """Runs one call: counts it, turns its failure into a status, and logs it."""
    began, peer, admitted = time.monotonic(), context.peer(), False
    guard.begin_call(context)
    context.set_trailing_metadata(((REQUEST_ID_KEY, request_id.get()),))
    code, outcome, failure = "OK", "answered", None
    try:
        with guard.shares.hold(*find_caller(context)):
            admitted = True
            yield
    except ServiceError as error:
        code, outcome = error.code.name, f"refused: {error}"
        call_facts.get()["reason"] = error.reason_name
        traceback.clear_frames(error.__traceback__)  # or a large request would stay until the next collection
        if streams_up and admitted:
            await drain_requests(context)
        await _abort(context, error)
    except grpc.aio.AbortError:
        code, outcome = getattr(context.code(), "name", "UNKNOWN"), "aborted"
        raise
    except GeneratorExit:
        code, outcome = "CANCELLED", "the caller left"
        raise
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and not is_stray_cancellation(error):
            code, outcome = "CANCELLED", "the caller left, its deadline passed, or the server stops"
            raise
        answer = convert_machine_error(error, guard.service) or _internal_error()
        code, outcome, failure = answer.code.name, "failed", error
        call_facts.get()["reason"] = answer.reason_name
        if streams_up:
            await drain_requests(context)
        await _abort(context, answer)
    finally:
        fields = call_facts.get()  # the same object that MetricsInterceptor reads the code from
        fields |= {"rpc": method, "code": code, "duration_ms": round((time.monotonic() - began) * 1e3, 1), "peer": peer}
        logger.log(logging.ERROR if failure else logging.INFO, outcome, extra={"fields": fields}, exc_info=failure)


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
        text = (
            f"the response was not ready after {limit_s:.3g} s; allow more time, at most {cap_s:g} s, or ask for less"
        )
        raise DeadlineExceeded(text, reason=reasons.ERROR_REASON_DEADLINE_PASSED) from None


def _internal_error() -> ServiceError:
    text = f"internal error; quote request {request_id.get()} to the operator"
    return ServiceError(text, reason=reasons.ERROR_REASON_INTERNAL, request_id=request_id.get())


def _count_message(way: str, message: bytes) -> bytes:
    facts = call_facts.get()
    facts[f"messages_{way}"] += 1
    facts[f"bytes_{way}"] += len(message)
    return message


def _parse_message(read: Callable[[bytes], Any], received: bytes) -> Any:
    try:
        return read(_count_message("in", received))
    except DecodeError as error:
        text = f"{len(received)} bytes were received that are no message of this method; use the stubs of the contract"
        raise InvalidArgument(text, reason=reasons.ERROR_REASON_MESSAGE_UNREADABLE) from error
