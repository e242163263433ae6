"""The interceptor around all others: each call is counted under go-grpc-prometheus' names, and traced."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import grpc
from google.protobuf import descriptor_pool

from deepsing.rpc.handlers import wrap_handler
from deepsing.telemetry import tracing
from deepsing.telemetry.logs import call_facts
from deepsing.telemetry.metrics import Counter, Histogram
from deepsing.v1.error_reason_pb2 import ErrorReason

__all__ = ["MetricsInterceptor"]

FOREIGN = "/grpc."  # health and reflection
KINDS = ("unary", "client_stream", "server_stream", "bidi_stream")  # by whether requests, answers are streams
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
REASONS = [name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()[1:]]
CODES = [code.name for code in grpc.StatusCode]
CallLabels = tuple[str, str, str]  # values of the labels grpc_type, grpc_service, grpc_method
OTHER: CallLabels = ("other", "other", "other")


class MetricsInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Stands outside the guard, and learns from `call_facts` how the guard ended a call.

    Args:
        grpc_name: of the service, as in the contract; methods that it does not have are counted as "other".
    """

    def __init__(self, grpc_name: str) -> None:
        self._labels_by_path = _build_labels(grpc_name)
        kinds, services, methods = (
            [*dict.fromkeys(values)] for values in zip(*self._labels_by_path.values(), strict=True)
        )
        labels = {"grpc_type": kinds, "grpc_service": services, "grpc_method": methods}
        calls, ends = (
            self._labels_by_path.values(),
            [(*call, code) for call in self._labels_by_path.values() for code in CODES],
        )
        code_labels = labels | {"grpc_code": CODES}
        self.started = Counter("grpc_server_started", "Calls begun.", labels, start=calls)
        self.handled = Counter("grpc_server_handled", "Calls ended, by status.", code_labels, start=ends)
        self.received = Counter("grpc_server_msg_received", "Messages received.", labels, start=calls)
        self.sent = Counter("grpc_server_msg_sent", "Messages sent.", labels, start=calls)
        self.seconds = Histogram(
            "grpc_server_handling_seconds", "From a call's start to its status.", SECONDS, labels, start=calls
        )

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Returns a method's handler as one that is observed."""
        method: str = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(FOREIGN):
            return handler
        return self._wrap_handler(handler, self._labels_by_path.get(method, OTHER))

    def _wrap_handler(self, handler: grpc.RpcMethodHandler, call: CallLabels) -> grpc.RpcMethodHandler:
        def count_request(request: Any) -> Any:
            self.received.add(1, *call)
            return request

        def count_response(response: Any) -> Any:
            self.sent.add(1, *call)
            return response

        return wrap_handler(
            handler, lambda _context: self._track_call(call), on_request=count_request, on_response=count_response
        )

    @asynccontextmanager
    async def _track_call(self, call: CallLabels) -> AsyncIterator[None]:
        began = perf_counter()
        self.started.add(1, *call)
        with tracing.start_server_span(f"{call[1]}/{call[2]}") as span:
            try:
                yield
            finally:
                facts = call_facts.get({})
                code = facts.get("code", "UNKNOWN")
                self.handled.add(1, *call, code)
                self.seconds.observe(perf_counter() - began, *call)
                if reason := facts.get("reason"):
                    REFUSALS.add(1, reason)
                span.end_as(code)


REFUSALS = Counter("deepsing_errors", "Calls refused or failed, by reason of the contract.", {"reason": REASONS})


def _build_labels(grpc_name: str) -> dict[str, CallLabels]:
    """Path of each method → its labels, streams as the contract declares them."""
    try:
        methods = descriptor_pool.Default().FindServiceByName(grpc_name).methods
    except KeyError:  # not of the contract
        methods = ()
    calls = {
        f"/{grpc_name}/{method.name}": (
            KINDS[method.client_streaming + 2 * method.server_streaming],
            grpc_name,
            method.name,
        )
        for method in methods
    }
    return calls or {"": OTHER}
