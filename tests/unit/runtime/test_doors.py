"""Nobody shuts the others out: what one connection, one caller or somebody without a key may hold is bounded."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from deepsing.rpc.channel import build_options as build_channel_options
from deepsing.rpc.channel import open_channel
from deepsing.rpc.errors import ResourceExhausted, parse_error_info
from deepsing.runtime.admission import Shares
from deepsing.runtime.files import RESERVED, find_connection_limit
from deepsing.runtime.health import WATCHES_EACH
from deepsing.runtime.server import SLOWEST_BYTES_PER_S, GrpcServer, build_options
from deepsing.runtime.settings import ServerSettings
from deepsing.v1 import error_reason_pb2 as reasons
from tests.unit.runtime.echo import NAME, Echo, call, service

SERVING, UNKNOWN = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
ASK = health_pb2.HealthCheckRequest()
HTTP2_START = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # preface, empty SETTINGS
SOON_S = 20.0  # for what takes milliseconds; long, because test machines are busy


@asynccontextmanager
async def running(echo: Echo, **settings: Any) -> AsyncIterator[GrpcServer]:
    server = GrpcServer(service(echo), ServerSettings(port=0, **settings))
    await server.start()
    try:
        yield server
    finally:
        echo.release.set()
        await server.drain(0)


async def expect_status(work: Any) -> tuple[str, str]:
    """The code and the reason with which a call ends."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(SOON_S):
            await work
    return caught.value.code().name, parse_error_info(caught.value)[0]


def test_every_option_of_servers_and_channels_is_one_that_the_installed_grpcio_knows() -> None:
    library = Path(cygrpc.__file__).read_bytes()
    options = [*build_options(ServerSettings(), 1), *build_channel_options(2**20)]
    unknown = [name for name, _ in options if name.encode() + b"\0" not in library]
    assert unknown == [], "grpcio ignores what it does not know"
    assert b"grpc.http2.min_recv_ping_interval_without_data_ms\0" not in library, "the check can fail"
    assert {name for name, value in options if not isinstance(value, int)} == {"grpc.service_config"}
    assert len(dict(options)) >= 20


@pytest.mark.parametrize("setting", ["idle_connection_s", "handshake_s", "keepalive_s"])
async def test_settings_in_seconds_reach_grpcio_in_milliseconds(setting: str) -> None:
    options = dict(build_options(ServerSettings(**{setting: 7.5}), 1))
    assert 7500 in options.values()


def test_a_share_is_refused_where_all_or_one_callers_calls_are_too_many() -> None:
    shares = Shares(3, 2, "calls", reasons.ERROR_REASON_CALLS_EXHAUSTED)
    with shares.hold("a"), shares.hold("a"):
        with pytest.raises(ResourceExhausted, match="2 calls of yours are open, your share; close some") as caught:
            shares.hold("a").__enter__()
        assert (caught.value.reason_name, caught.value.retry_after_s) == ("CALLS_EXHAUSTED", 5.0)
        with shares.hold("b"), pytest.raises(ResourceExhausted, match="3 calls are open, the most there may be"):
            shares.hold("c").__enter__()
    assert shares.count == 0
    with shares.hold("a"), shares.hold("a"), shares.hold("c"):
        assert shares.count == 3


def test_the_first_calls_of_a_connection_are_admitted_though_others_of_its_machine_have_used_up_the_share() -> None:
    shares = Shares(6, 2, "calls", reasons.ERROR_REASON_CALLS_EXHAUSTED)
    with shares.hold("10.0.0.1", "one"), shares.hold("10.0.0.1", "one"):
        with pytest.raises(ResourceExhausted, match="your share"):
            shares.hold("10.0.0.1", "one").__enter__()
        with shares.hold("10.0.0.1", "two"), shares.hold("10.0.0.1", "two"):
            with pytest.raises(ResourceExhausted, match="4 calls of yours are open, your share"):
                shares.hold("10.0.0.1", "two").__enter__()
            three = [shares.hold("10.0.0.1", "three") for _ in range(2)]
            with three[0], three[1], pytest.raises(ResourceExhausted, match="6 calls are open, the most there may be"):
                shares.hold("10.0.0.1", "four").__enter__()
    assert not shares._open


async def test_health_watches_without_end_take_nothing_from_calls_and_probes() -> None:
    echo = Echo()
    async with running(echo, max_concurrent_rpcs=2) as server, grpc.aio.insecure_channel(server.address) as crowd:
        stub = health_pb2_grpc.HealthStub(crowd)
        watches = [stub.Watch(ASK) for _ in range(WATCHES_EACH)]
        async with asyncio.timeout(SOON_S):
            assert [(await watch.read()).status for watch in watches] == [SERVING] * WATCHES_EACH
        for _ in range(3):
            assert await expect_status(stub.Watch(ASK).read()) == ("RESOURCE_EXHAUSTED", "CALLS_EXHAUSTED")
        async with open_channel(server.address) as channel:
            assert await call(channel, "unary_unary", b"x", timeout=SOON_S) == b"x"
            assert (await health_pb2_grpc.HealthStub(channel).Check(ASK, timeout=SOON_S)).status == SERVING
            assert (await health_pb2_grpc.HealthStub(channel).Watch(ASK).read()).status == SERVING


async def test_probes_are_answered_while_all_calls_are_taken() -> None:
    echo = Echo()
    async with running(echo, max_concurrent_rpcs=1) as server, open_channel(server.address) as channel:
        waiting = asyncio.create_task(call(channel, "unary_unary", b"wait"))
        await echo.started.wait()
        assert await expect_status(call(channel, "unary_unary", b"x")) == ("RESOURCE_EXHAUSTED", "CALLS_EXHAUSTED")
        assert (await health_pb2_grpc.HealthStub(channel).Check(ASK, timeout=SOON_S)).status == SERVING
        echo.release.set()
        assert await waiting == b"wait"


async def test_names_that_nobody_serves_are_not_remembered() -> None:
    async with running(Echo()) as server, open_channel(server.address) as channel:
        for number in range(5):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=f"x{number}"))
            assert (await watch.read()).status == UNKNOWN
        assert not server._health._server_watchers
        await server._health.set("x4", SERVING)
        assert (await watch.read()).status == SERVING


async def test_the_calls_of_one_connection_beyond_its_share_wait_and_another_connection_is_served() -> None:
    echo = Echo()
    async with running(echo, max_rpcs_per_connection=2) as server:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(server.address, options) as greedy, open_channel(server.address) as other:
            waiting = [asyncio.create_task(call(greedy, "unary_unary", b"wait")) for _ in range(2)]
            await echo.started.wait()
            assert await expect_status(call(greedy, "unary_unary", b"x", timeout=1)) == ("DEADLINE_EXCEEDED", "")
            assert await call(other, "unary_unary", b"x", timeout=SOON_S) == b"x"
            echo.release.set()
            assert await asyncio.gather(*waiting) == [b"wait"] * 2


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_a_call_whose_message_does_not_come_ends_and_is_logged(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(Echo(), first_message_s=0.2) as server, open_channel(server.address) as channel:
        method = getattr(channel, f"stream_{kind.partition('_')[2]}")(f"/{NAME}/{kind}")
        half = method()  # the head of a call; its message never follows
        await half.wait_for_connection()
        ending = half if kind == "unary_unary" else half.read()
        assert await expect_status(ending) == ("DEADLINE_EXCEEDED", "UPLOAD_STALLED")
    lines = [record.fields for record in caplog.records if hasattr(record, "fields") and "rpc" in record.fields]
    assert [(line["rpc"], line["code"]) for line in lines] == [(f"/{NAME}/{kind}", "DEADLINE_EXCEEDED")]


@pytest.mark.parametrize(("kind", "code"), [("unary_unary", "OK"), ("unary_stream", "DEADLINE_EXCEEDED")])
async def test_a_method_of_large_messages_has_more_time_for_them(kind: str, code: str) -> None:
    echo = Echo()
    large = replace(service(echo), large_methods=("unary_unary",), largest_request_bytes=SLOWEST_BYTES_PER_S * 20)
    server = GrpcServer(large, ServerSettings(port=0, first_message_s=0.2))
    await server.start()
    async with open_channel(server.address) as channel:
        call = getattr(channel, f"stream_{kind.partition('_')[2]}")(f"/{NAME}/{kind}")()
        await call.wait_for_connection()
        await asyncio.sleep(0.6)
        if code == "OK":
            await call.write(b"x")
            await call.done_writing()
        assert (await call.code()).name == code
    await server.drain(0)


@pytest.mark.parametrize("path", ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"])
async def test_a_health_call_whose_message_does_not_come_ends(path: str) -> None:
    async with running(Echo(), first_message_s=0.2) as server, open_channel(server.address) as channel:
        half = channel.stream_stream(path)()
        assert await expect_status(half.read()) == ("DEADLINE_EXCEEDED", "UPLOAD_STALLED")


async def test_reflection_that_asks_nothing_ends() -> None:
    async with running(Echo(), first_message_s=0.2) as server, open_channel(server.address) as channel:
        silent = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        assert await expect_status(silent.read()) == ("DEADLINE_EXCEEDED", "UPLOAD_STALLED")


async def test_a_call_without_a_message_is_refused() -> None:
    async def nothing() -> AsyncIterator[bytes]:
        return
        yield

    async with running(Echo()) as server, open_channel(server.address) as channel:
        half = channel.stream_unary(f"/{NAME}/unary_unary")(nothing())
        assert await expect_status(half) == ("INVALID_ARGUMENT", "MESSAGE_UNREADABLE")


async def test_an_unknown_method_is_refused_with_a_reason_and_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with running(Echo()) as server, open_channel(server.address) as channel:
        assert await expect_status(channel.unary_unary(f"/{NAME}/Nothing")(b"")) == ("UNIMPLEMENTED", "METHOD_UNKNOWN")
    lines = [record.fields for record in caplog.records if hasattr(record, "fields") and "rpc" in record.fields]
    assert [(line["rpc"], line["code"]) for line in lines] == [(f"/{NAME}/Nothing", "UNIMPLEMENTED")]


@pytest.mark.parametrize(
    ("sent", "settings"),
    [
        (b"", {"handshake_s": 0.3}),
        (HTTP2_START[:10], {"handshake_s": 0.3}),
        (HTTP2_START, {"idle_connection_s": 1, "keepalive_s": 60}),
    ],
    ids=["says nothing", "begins to speak", "is idle"],
)
async def test_a_connection_that_asks_for_nothing_is_closed(sent: bytes, settings: dict[str, float]) -> None:
    async with running(Echo(), **settings) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(sent)
        began = time.monotonic()
        async with asyncio.timeout(SOON_S):
            while await reader.read(4096):
                pass
        assert time.monotonic() - began < 10
        writer.close()


async def test_connections_beyond_the_limit_are_closed() -> None:
    async with running(Echo(), max_connections=2) as server:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        for reader, writer in held:
            writer.write(HTTP2_START)
            assert await reader.read(9)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(SOON_S):
            assert await reader.read() == b""
        for _, one in [*held, (reader, writer)]:
            one.close()


def test_connections_leave_files_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepsing.runtime.files.resource.getrlimit", lambda _: (1024, 4096))
    assert find_connection_limit(4096) == 1024 - RESERVED
    assert find_connection_limit(100) == 100
