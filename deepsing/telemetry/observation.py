"""Metrics and traces of one service; off unless a port for metrics, BentoML or OTEL_* variables ask for them."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict
from time import perf_counter
from typing import Any

import grpc
from google.protobuf import descriptor_pool

from deepsing.rpc.handlers import wrap_handler
from deepsing.telemetry import tracing
from deepsing.telemetry.logs import call_facts
from deepsing.telemetry.metrics import DECLARED, Counter, Gauge, Histogram, enable, is_enabled
from deepsing.telemetry.page_server import PageServer
from deepsing.telemetry.summary import Scrape, Summary, build_scrape, summarize
from deepsing.telemetry.tracing import start_tracing
from deepsing.v1.error_reason_pb2 import ErrorReason

__all__ = ["MetricsInterceptor", "MetricsPage", "ServiceTelemetry"]

TEXT = ("Content-Type", "text/plain; charset=utf-8")
FOREIGN = "/grpc."  # health and reflection
KINDS = ("unary", "client_stream", "server_stream", "bidi_stream")  # by whether requests, answers are streams
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
REASONS = [name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()[1:]]
CODES = [code.name for code in grpc.StatusCode]
CallLabels = tuple[str, str, str]  # values of the labels grpc_type, grpc_service, grpc_method
OTHER: CallLabels = ("other", "other", "other")


class ServiceTelemetry:
    """Metrics and traces of one service.

    Args:
        service: its name.
        grpc_name: as in the contract.
        metrics: whether a port will be opened for metrics; under BentoML they are on already.
    """

    def __init__(self, service: str, grpc_name: str, *, metrics: bool) -> None:
        if metrics:
            enable()
        traced = start_tracing(service)
        self.interceptors: list[grpc.aio.ServerInterceptor] = []  # outside all others
        if traced or is_enabled():
            self.interceptors.append(MetricsInterceptor(grpc_name))
        self._service = service
        self._serving = Gauge("deepsing_serving", "1 while calls are accepted, else 0.", {"service": (service,)})
        self._page: MetricsPage | None = None

    def listen(self, host: str, port: int) -> int:
        """Serves the metrics over HTTP; returns the bound port. Raises RuntimeError if it cannot be bound."""
        try:
            self._page = MetricsPage(host, port)
        except OSError as error:
            raise RuntimeError(f"the metrics port {port} cannot be bound ({error.strerror})") from None
        return self._page.port

    def set_serving(self, now: bool) -> None:
        """Sets whether calls are accepted."""
        self._serving.set(int(now), self._service)

    def close(self) -> None:
        """Closes the port of metrics, if there is one; blocks until its thread has ended."""
        if self._page is not None:
            self._page.close()
            self._page = None


class MetricsPage:
    """Shows the metrics of this process over HTTP, in a thread of its own; they must be enabled.

    /metrics is for Prometheus, / for people.

    Args:
        host: to listen on.
        port: to listen on; 0 takes a free one.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, host: str, port: int) -> None:
        from prometheus_client import make_wsgi_app

        self._prometheus = make_wsgi_app()
        self._server = PageServer(host, port, self._answer)
        self.port = self._server.port

    def close(self) -> None:
        """Stops listening."""
        self._server.close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [TEXT, ("Allow", "GET, HEAD")])
            return [b"use GET\n"]
        if environ["PATH_INFO"] == "/metrics":
            answer: Iterable[bytes] = self._prometheus(environ, start_response)
            return answer
        if environ["PATH_INFO"] != "/":
            start_response("404 Not Found", [TEXT])
            return [b"try / (for people) or /metrics (for Prometheus)\n"]
        start_response("200 OK", [TEXT])
        return [_format_page().encode()]


def _format_page() -> str:
    """Returns the main figures, one a line, and below them every metric with its help text."""
    from prometheus_client import REGISTRY

    now = build_scrape(REGISTRY.collect(), time.monotonic())
    figures = summarize(now)
    state = "serving" if figures.serving else "NOT serving"
    metrics = [f"{name:<36}{_total(now, name):>12.6g}  {metric.text}" for name, metric in sorted(DECLARED.items())]
    lines = [f"deepsing {figures.service}: {state}", "", *_format_figures(figures), ""]
    lines += ["totals since the process started; /metrics has all labels:", "", *metrics, ""]
    return "\n".join(lines)


def _format_figures(figures: Summary) -> list[str]:
    shown = {name: value for name, value in asdict(figures).items() if name not in ("service", "serving")}
    return [f"{name:<36}{value:>12.4g}" for name, value in shown.items() if value is not None]


def _total(now: Scrape, name: str) -> float:
    """Returns the sum of a counter or gauge, or the number of measurements of a histogram."""
    present = next((full for full in (f"{name}_total", f"{name}_count", name) if full in now.samples), name)
    return now.total(present)


class MetricsInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Counts and traces calls; reads from `call_facts` with which code the guard, inside it, ended a call.

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
        self.started = Counter("grpc_server_started", "Calls started.", labels, start=calls)
        self.handled = Counter("grpc_server_handled", "Calls ended, by status code.", code_labels, start=ends)
        self.received = Counter("grpc_server_msg_received", "Messages received.", labels, start=calls)
        self.sent = Counter("grpc_server_msg_sent", "Messages sent.", labels, start=calls)
        self.seconds = Histogram(
            "grpc_server_handling_seconds", "Time from the start of a call to its status.", SECONDS, labels, start=calls
        )

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler | None:
        """Returns the handler of a method, wrapped to count its calls."""
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
    """Returns the labels of each method by its path, with the kind of stream that the contract declares."""
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
