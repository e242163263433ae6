import asyncio
from typing import Any

import grpc
import pytest

from deepsing.rpc.channel import open_channel, remaining_s
from deepsing.runtime.server import GrpcServer
from tests.chaos.proxy import Proxy
from tests.unit.runtime.echo import NAME


class Context:
    def __init__(self, left_s: float | None) -> None:
        self._left_s = left_s

    def time_remaining(self) -> float | None:
        return self._left_s


@pytest.mark.parametrize(("left_s", "given_s"), [(None, 30.0), (5.0, 5.0), (90.0, 30.0), (-1.0, 0.0)])
def test_a_call_further_down_gets_the_time_that_is_left_but_at_most_the_cap(
    left_s: float | None, given_s: float
) -> None:
    assert remaining_s(Context(left_s), 30) == given_s


async def test_a_deadline_is_seen_by_the_server(channel: grpc.aio.Channel) -> None:
    left = await channel.unary_unary(f"/{NAME}/unary_unary")(b"left", timeout=9)
    assert 5 < float(left) < 9.5


async def test_a_unary_call_is_retried_while_the_service_is_unavailable() -> None:
    calls = 0

    async def flaky(request: bytes, context: Any) -> bytes:
        nonlocal calls
        calls += 1
        if calls < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return request

    server = grpc.aio.server()
    handlers = {"Flaky": grpc.unary_unary_rpc_method_handler(flaky)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        assert await channel.unary_unary("/t.T/Flaky")(b"x", timeout=20) == b"x"
    await server.stop(None)
    assert calls == 3


async def test_a_web_proxy_in_the_environment_is_not_used(server: GrpcServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    async with open_channel(server.address) as channel:
        assert await asyncio.wait_for(channel.unary_unary(f"/{NAME}/unary_unary")(b"x"), 10) == b"x"


async def test_a_line_that_falls_silent_under_load_is_given_up(
    server: GrpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepsing.rpc.channel.KEEPALIVE_MS", 500)
    monkeypatch.setattr("deepsing.rpc.channel.PING_TIMEOUT_MS", 500)
    async with Proxy([int(server.address.rpartition(":")[2])]) as proxy, open_channel(proxy.target) as channel:
        call = channel.unary_stream(f"/{NAME}/unary_stream")(b"flood")
        for _ in range(20):
            assert await call.read()
        assert proxy.silence() == 1
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(_read_to_end(call), 20)  # gRPC by itself would wait for a minute
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def _read_to_end(call: Any) -> None:
    while await call.read():
        pass
