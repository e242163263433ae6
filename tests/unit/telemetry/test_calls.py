"""Calls over real ports, counted by the interceptor around the guard."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from deepsing.rpc.channel import open_channel
from deepsing.rpc.errors import InvalidArgument, ResourceExhausted
from deepsing.runtime.server import GrpcServer, ServerSecurity, Service
from deepsing.runtime.settings import ServerSettings
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import composer_pb2_grpc
from deepsing.v1 import error_reason_pb2 as reasons
from tests.unit.telemetry.counted import MetricDelta

NAME = "deepsing.v1.ComposerService"
SOON_S = 20.0  # for what takes milliseconds; long, because test machines are busy


class Reader(composer_pb2_grpc.ComposerServiceServicer):
    """Probe counts; Compose answers each request, and a title says what else; Render fails."""

    async def Probe(self, requests: AsyncIterator[Any], context: Any) -> pb.ProbeResponse:
        return pb.ProbeResponse(frame_count=sum([1 async for _ in requests]))

    async def Compose(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[pb.ComposeResponse]:
        async for request in requests:
            if request.config.title == "refuse":
                raise InvalidArgument("no", reason=reasons.ERROR_REASON_SONG_EMPTY)
            if request.config.title == "wait":
                await asyncio.Event().wait()
            yield pb.ComposeResponse()

    async def Render(self, request: Any, context: Any) -> AsyncIterator[pb.RenderResponse]:
        raise KeyError("defect")
        yield


class Full(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses whoever says so before a handler is reached, as the AuthInterceptor does."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        if dict(details.invocation_metadata).get("full"):
            raise ResourceExhausted("full", reason=reasons.ERROR_REASON_QUOTA_EXCEEDED)
        return await continuation(details)


@pytest.fixture
def delta() -> MetricDelta:
    return MetricDelta()


@pytest.fixture
async def server(delta: MetricDelta) -> AsyncIterator[GrpcServer]:
    async def open_reader() -> Reader:
        return Reader()

    service = Service(
        "composer",
        NAME,
        composer_pb2_grpc.add_ComposerServiceServicer_to_server,
        open_reader,
        protect=lambda name: ServerSecurity((Full(),)),
    )
    server = GrpcServer(service, ServerSettings(port=0))
    await server.start()
    yield server
    await server.drain(0)


@pytest.fixture
async def stub(server: GrpcServer) -> AsyncIterator[Any]:
    async with open_channel(server.address) as channel:
        yield composer_pb2_grpc.ComposerServiceStub(channel)


def call_labels(method: str, kind: str) -> dict[str, str]:
    return {"grpc_method": method, "grpc_service": NAME, "grpc_type": kind}


COMPOSE, PROBE, RENDER = (
    call_labels("Compose", "bidi_stream"),
    call_labels("Probe", "client_stream"),
    call_labels("Render", "server_stream"),
)


async def requests(*titles: str) -> AsyncIterator[pb.ComposeRequest]:
    for title in titles:
        yield pb.ComposeRequest(config=pb.StoryConfig(title=title))


async def read(call: Any) -> None:
    """Reads a call to its end, whatever that is."""
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError:
        pass


async def drain_call(server: GrpcServer, call: Any) -> None:
    """Reads a call, and lets the server end: what it counts last, it counts once the status has left."""
    await read(call)
    await server.drain(SOON_S)


async def test_messages_are_counted_both_ways_and_the_call_by_its_code(
    server: GrpcServer, stub: Any, delta: MetricDelta
) -> None:
    await drain_call(server, stub.Compose(requests("a", "b", "c")))
    assert delta("grpc_server_started_total", **COMPOSE) == 1
    assert delta("grpc_server_msg_received_total", **COMPOSE) == 3
    assert delta("grpc_server_msg_sent_total", **COMPOSE) == 3
    assert delta("grpc_server_handled_total", grpc_code="OK", **COMPOSE) == 1
    assert delta("grpc_server_handling_seconds_count", **COMPOSE) == 1


async def test_a_call_with_one_answer_is_counted_too(server: GrpcServer, stub: Any, delta: MetricDelta) -> None:
    assert (await stub.Probe(iter([pb.ProbeRequest()] * 4))).frame_count == 4
    await server.drain(SOON_S)
    assert delta("grpc_server_msg_received_total", **PROBE) == 4
    assert delta("grpc_server_msg_sent_total", **PROBE) == 1
    assert delta("grpc_server_handled_total", grpc_code="OK", **PROBE) == 1


async def test_a_refusal_is_counted_by_its_code_and_its_reason(
    server: GrpcServer, stub: Any, delta: MetricDelta
) -> None:
    await drain_call(server, stub.Compose(requests("refuse")))
    assert delta("grpc_server_handled_total", grpc_code="INVALID_ARGUMENT", **COMPOSE) == 1
    assert delta("deepsing_errors_total", reason="SONG_EMPTY") == 1


async def test_a_quota_that_is_used_up_is_counted_though_no_handler_was_reached(
    server: GrpcServer, stub: Any, delta: MetricDelta
) -> None:
    await drain_call(server, stub.Compose(requests("a"), metadata=(("full", "1"),)))
    assert delta("grpc_server_handled_total", grpc_code="RESOURCE_EXHAUSTED", **COMPOSE) == 1
    assert delta("deepsing_errors_total", reason="QUOTA_EXCEEDED") == 1


async def test_a_defect_is_counted_as_internal(server: GrpcServer, stub: Any, delta: MetricDelta) -> None:
    await drain_call(server, stub.Render(pb.RenderRequest()))
    assert delta("grpc_server_handled_total", grpc_code="INTERNAL", **RENDER) == 1
    assert delta("deepsing_errors_total", reason="INTERNAL") == 1


async def test_a_caller_who_leaves_is_counted_as_cancelled(server: GrpcServer, stub: Any, delta: MetricDelta) -> None:
    call = stub.Compose(requests("a", "wait"))
    await call.read()
    call.cancel()
    await server.drain(SOON_S)
    assert delta("grpc_server_handled_total", grpc_code="CANCELLED", **COMPOSE) == 1


async def test_methods_that_strangers_make_up_share_one_series(server: GrpcServer, delta: MetricDelta) -> None:
    other = {"grpc_method": "other", "grpc_service": "other", "grpc_type": "other"}
    async with open_channel(server.address) as channel:
        for number in range(3):
            await read(channel.unary_stream(f"/x.Y/Z{number}")(b"", metadata=(("full", "1"),)))
    await server.drain(SOON_S)
    assert delta("grpc_server_handled_total", grpc_code="RESOURCE_EXHAUSTED", **other) == 3
