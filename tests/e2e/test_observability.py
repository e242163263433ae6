"""One story told by the four services as processes: one trace, one session in all logs, and metrics that add up."""

import json
import wave
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from deepsing.cli.top import fetch_scrapes, metrics_url
from deepsing.client import Client, StoryOptions
from deepsing.local.services import NAMES, LocalServices, find_free_ports
from deepsing.telemetry.summary import Scrape, summarize

OPTIONS = StoryOptions(fps=4, size="64x64")
SERVER, CLIENT = 2, 3  # kinds of spans


class Sink(trace_service_pb2_grpc.TraceServiceServicer):
    """A collector that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []  # service, span

    def Export(self, request: Any, context: Any) -> trace_service_pb2.ExportTraceServiceResponse:
        for of_resource in request.resource_spans:
            facts = {fact.key: fact.value.string_value for fact in of_resource.resource.attributes}
            spans = (span for of_scope in of_resource.scope_spans for span in of_scope.spans)
            self.spans += [(facts["service.name"].removeprefix("deepsing-"), span) for span in spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    sink, server = Sink(), grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(sink, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield sink
    server.stop(None).wait()


@pytest.fixture
async def services(sink: Sink, tmp_path: Path) -> AsyncIterator[LocalServices]:
    ports = find_free_ports({f"{kind} {name}": 0 for kind in ("calls", "metrics") for name in NAMES})
    calls, metrics = ({name: ports[f"{kind} {name}"] for name in NAMES} for kind in ("calls", "metrics"))
    async with LocalServices(calls, metrics=metrics, logs=tmp_path / "logs") as running:
        yield running


def song(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((8000 * np.sin(np.arange(48_000) * 0.2)).astype("<i2").tobytes())
    return path


async def test_a_story_is_one_trace_one_session_and_numbers_that_add_up(
    services: LocalServices, sink: Sink, tmp_path: Path
) -> None:
    async with Client(services.targets["composer"]) as client:
        events = [event async for event in client.compose(song(tmp_path / "song.wav"), OPTIONS)]
    frames = sum(hasattr(event, "image") for event in events)
    seen = await fetch_scrapes([metrics_url(target) for target in services.metrics.values()])
    assert all(isinstance(one, Scrape) for one in seen)
    by_name = {summarize(one).service: one for one in seen if isinstance(one, Scrape)}
    assert set(by_name) == set(NAMES)
    assert by_name["composer"].total("deepsing_frames_sent_total") == frames == 12
    assert by_name["generator"].total("deepsing_batch_size_sum") == 12
    assert by_name["audio_sentiment"].total("deepsing_listening_audio_seconds_total") == 3
    assert by_name["translator"].total("grpc_server_handled_total", grpc_code="OK", grpc_method="Translate") >= 1
    assert (summarize(by_name["audio_sentiment"]).realtime or 0) > 1
    await services._stop()  # they send their last spans, and write their last lines
    session = next(event.session_id for event in events if hasattr(event, "session_id"))
    _check_logs(tmp_path / "logs", session, _check_trace(sink))


def _check_trace(sink: Sink) -> str:
    """The one trace that all spans belong to; every one hangs below the composer's call."""
    spans = {span.span_id: (service, span) for service, span in sink.spans}
    (trace,) = {span.trace_id for _, span in spans.values()}
    roots = [(service, span.name) for service, span in spans.values() if span.parent_span_id not in spans]
    assert roots == [("composer", "deepsing.v1.ComposerService/Compose")]
    served = [(service, span) for service, span in spans.values() if span.kind == SERVER and span.parent_span_id]
    for _, span in served:
        caller, call = spans[span.parent_span_id]
        assert (caller, call.kind, call.name) == ("composer", CLIENT, span.name)
    assert {service for service, _ in served} == {"audio_sentiment", "translator", "generator"}
    stages = [(span.name, spans[span.parent_span_id][1].name) for _, span in spans.values() if span.kind == 1]
    assert set(stages) == {(stage, "deepsing.v1.GeneratorService/Generate") for stage in ("queue", "compute")}
    return str(trace.hex())


def _check_logs(folder: Path, session: str, trace: str) -> None:
    """Every line of a call in every log has the ids."""
    for name in NAMES:
        lines = [json.loads(line) for line in (folder / f"{name}.log").read_text().splitlines() if line[:1] == "{"]
        calls = [line for line in lines if "rpc" in line]
        assert calls, name
        assert {(line["session_id"], line["trace_id"]) for line in calls} == {(session, trace)}
        assert len({line["request_id"] for line in calls}) == 1
