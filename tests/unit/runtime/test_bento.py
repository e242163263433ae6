import asyncio
import os
import signal
import warnings
from collections.abc import Iterator

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what BentoML imports warns of what it imports
    pytest.importorskip("bentoml", reason="the extra bento is not installed")
    from deepsing.runtime.bento import BentoHost

from deepsing.rpc.channel import open_channel
from tests.unit.runtime.echo import Echo, call, service


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The signals that came through to the handler that was there before."""
    monkeypatch.setenv("DEEPSING_SERVER_PORT", "0")
    monkeypatch.setattr("deepsing.runtime.bento.configure_logs", lambda service, level: None)
    numbers: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: numbers.append(number)) for number in (2, 15)}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_a_signal_drains_grpc_at_once_and_is_passed_on(signals: list[int], echo: Echo) -> None:
    class EchoHost(BentoHost):
        pass

    EchoHost.service = service(echo)
    hooks = EchoHost()
    assert not await hooks.__is_ready__()
    await hooks.start()
    assert await hooks.__is_ready__()
    async with open_channel(hooks.server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        answer = asyncio.create_task(call(channel, "unary_stream", b"wait"))
        await echo.started.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        changed = await asyncio.wait_for(watch.read(), 20)
        assert changed.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert signals == [signal.SIGTERM]
        assert not await hooks.__is_ready__()
        echo.release.set()
        assert await answer == b"firstwait"
    await asyncio.wait_for(hooks.stop(), 20)
    assert echo.closed
