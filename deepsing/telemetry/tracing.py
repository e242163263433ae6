"""OpenTelemetry spans, if the standard OTEL_* variables ask for them; otherwise nothing is imported or done.

Calls to other services carry the ids of the call being served in any case, see `propagate_ids`.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc

from deepsing.rpc.workarounds import wrap_each_call
from deepsing.telemetry.ids import TRACE_KEY, outgoing_metadata, session_id, traceparent

__all__ = ["start_tracing", "start_server_span", "start_client_span", "record_stages", "CallSpan", "propagate_ids"]

OTLP_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SERVER_FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
Metadata = tuple[tuple[str, str], ...]
logger = logging.getLogger(__name__)
_tracer: Any = None  # None if traces are off
_end_tasks: set[asyncio.Task[None]] = set()  # asyncio holds tasks only weakly


class CallSpan:
    """The span of one call; does nothing if traces are off.

    Args:
        span: of OpenTelemetry, or None.
        served: whether this process serves the call; a caller's mistake is then no error of the span.
    """

    def __init__(self, span: Any = None, *, served: bool = False) -> None:
        self._span, self._served = span, served

    def end_as(self, code: str) -> None:
        """Ends it with the name of a gRPC status."""
        if self._span is None:
            return
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("rpc.response.status_code", code)
        if session_id.get():
            self._span.set_attribute("deepsing.session_id", session_id.get())
        if code in SERVER_FAULTS or (not self._served and code not in ("OK", "CANCELLED")):
            self._span.set_status(StatusCode.ERROR, code)
        self._span.end()

    @property
    def traceparent(self) -> str:
        """In the format of W3C Trace Context; "" for no span."""
        if self._span is None:
            return ""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def start_tracing(service: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Exports spans by OTLP over gRPC from now on, if OTEL_TRACES_EXPORTER=otlp or an OTLP endpoint says so.

    Args:
        service: its name; the spans carry OTEL_SERVICE_NAME, or "deepsing-" and this name.
        environ: where to look; OpenTelemetry itself reads the rest of its variables from os.environ.

    Returns:
        Whether spans are made; if they cannot be, the log says why, and the service runs without.
    """
    global _tracer
    exporter = environ.get("OTEL_TRACES_EXPORTER") or ("otlp" if any(map(environ.get, OTLP_VARIABLES)) else "none")
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    protocol = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    if (exporter, protocol) != ("otlp", "grpc"):
        logger.warning("no traces: the exporter is %s by %s; set otlp by grpc, or none", exporter, protocol)
        return False
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        logger.warning("no traces: %s; install 'deepsing[otel]'", error)
        return False
    name = environ.get("OTEL_SERVICE_NAME") or f"deepsing-{service}"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))  # flushes when the process exits
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("deepsing")
    return True


@contextmanager
def start_server_span(method: str) -> Iterator[CallSpan]:
    """Starts the span of a call that this process serves, in its caller's trace.

    Calls made meanwhile, and log lines, belong to it. The caller of this function ends the span.
    """
    if _tracer is None:
        yield CallSpan()
        return
    from opentelemetry.trace import SpanKind

    span = CallSpan(_start_span(method, SpanKind.SERVER), served=True)
    traceparent.set(span.traceparent)  # never reset: the task ends with the call
    yield span


def start_client_span(method: str) -> CallSpan:
    """Starts the span of a call to another service, as part of the call that is served here."""
    if _tracer is None:
        return CallSpan()
    from opentelemetry.trace import SpanKind

    return CallSpan(_start_span(method, SpanKind.CLIENT))


def record_stages(**seconds: float) -> None:
    """Records stages of the current call by their lengths, one after the other, the last one ending now."""
    if _tracer is None:
        return
    begin_ns = time.time_ns() - round(1e9 * sum(seconds.values()))
    for name, length_s in seconds.items():
        end_ns = begin_ns + round(1e9 * length_s)
        _start_span(name, start_time=begin_ns).end(end_time=end_ns)
        begin_ns = end_ns


def _start_span(name: str, kind: Any = None, start_time: int | None = None) -> Any:
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent.get()})
    attributes = {"rpc.system": "grpc"} if kind else {}
    return _tracer.start_span(name, parent, kind or SpanKind.INTERNAL, attributes, start_time=start_time)


def propagate_ids(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """Makes every call of a channel carry the ids of this task; if traces are on, each gets a span."""

    def prepare(path: str) -> tuple[Metadata, Callable[[Any], None] | None]:
        span = start_client_span(path.strip("/"))
        if not span.traceparent:
            return outgoing_metadata(), None
        ids = tuple(item for item in outgoing_metadata() if item[0] != TRACE_KEY)
        return (*ids, (TRACE_KEY, span.traceparent)), lambda call: _end_span_after(call, span)

    return wrap_each_call(channel, prepare)


def _end_span_after(call: Any, span: CallSpan) -> None:
    async def end(done: Any) -> None:
        span.end_as((await done.code()).name)

    def on_done(done: Any) -> None:
        task = asyncio.get_running_loop().create_task(end(done))
        _end_tasks.add(task)
        task.add_done_callback(_end_tasks.discard)

    call.add_done_callback(on_done)
