"""What is traced when, seen by a process of its own: tracing cannot be switched off again."""

import json
import logging
import os
import subprocess
import sys

import pytest

from deepsing.telemetry import tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACED = """
import contextlib, json, os
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
import opentelemetry.exporter.otlp.proto.grpc.trace_exporter as otlp

spans = []
class Kept(SpanExporter):
    def export(self, batch):
        spans.extend(batch)
        return SpanExportResult.SUCCESS
otlp.OTLPSpanExporter = Kept

from deepsing.telemetry import tracing
from deepsing.telemetry.ids import log_ids, session_id, take_ids
assert tracing.start_tracing("composer", {"OTEL_TRACES_EXPORTER": "otlp"})
take_ids([("traceparent", os.environ["PARENT"])])
session_id.set("s1")
with tracing.start_server_span("a.B/C") as span:
    further = tracing.start_client_span("d.E/F")
    tracing.record_stages(queue=0.5, compute=0.25)
    further.end_as("UNAVAILABLE")
    logged = log_ids()
    span.end_as("OK")
for way in (tracing.start_server_span, lambda name: contextlib.nullcontext(tracing.start_client_span(name))):
    for code in ("INVALID_ARGUMENT", "INTERNAL", "CANCELLED"):
        with way(f"{way.__name__} {code}") as span:
            span.end_as(code)
tracing._tracer.span_processor.force_flush()
print(json.dumps([
    {"name": s.name, "id": s.context.span_id, "parent": s.parent.span_id, "trace": f"{s.context.trace_id:032x}",
     "ms": (s.end_time - s.start_time) / 1e6, "kind": s.kind.name, "status": s.status.status_code.name,
     "service": s.resource.attributes["service.name"], "attributes": dict(s.attributes)} for s in spans]
    + [logged]))
"""


def test_spans_of_a_call_hang_together_in_the_callers_trace() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", TRACED],
        env={**os.environ, "PARENT": PARENT},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    *listed, logged = json.loads(answer.stdout)
    spans = {span["name"]: span for span in listed}
    assert {"a.B/C", "d.E/F", "queue", "compute"} < set(spans)
    assert {span["trace"] for span in listed} == {PARENT[3:35]} == {logged["trace_id"]}
    assert spans["a.B/C"]["parent"] == int("b7ad6b7169203331", 16)
    assert {spans[name]["parent"] for name in ("d.E/F", "queue", "compute")} == {spans["a.B/C"]["id"]}
    assert [spans[name]["kind"] for name in ("a.B/C", "d.E/F", "queue")] == ["SERVER", "CLIENT", "INTERNAL"]
    assert [spans[name]["status"] for name in ("a.B/C", "d.E/F")] == ["UNSET", "ERROR"]
    assert [spans[name]["ms"] for name in ("queue", "compute")] == [500, 250]
    assert spans["a.B/C"]["attributes"]["deepsing.session_id"] == "s1"
    codes = ("INVALID_ARGUMENT", "INTERNAL", "CANCELLED")  # what a caller did wrong is no error of who serves
    assert [spans[f"start_server_span {code}"]["status"] for code in codes] == ["UNSET", "ERROR", "UNSET"]
    assert [spans[f"<lambda> {code}"]["status"] for code in codes] == ["ERROR", "ERROR", "UNSET"]
    assert {span["service"] for span in listed} == {"deepsing-composer"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_nothing_is_traced_unless_it_is_asked_for(environ: dict[str, str]) -> None:
    assert not tracing.start_tracing("composer", environ)
    assert tracing.start_client_span("d.E/F").traceparent == ""


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
    ],
)
def test_an_exporter_that_is_not_known_is_named_and_the_service_runs_without(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    assert not tracing.start_tracing("composer", environ)
    assert "set otlp by grpc, or none" in caplog.text


def test_without_the_extra_the_log_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    assert not tracing.start_tracing("composer", {"OTEL_TRACES_EXPORTER": "otlp"})
    assert "install 'deepsing[otel]'" in caplog.text
