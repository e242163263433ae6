"""Background tasks that fail are logged, started again, and seen in health within seconds."""

import asyncio
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deepsing.runtime import supervision
from deepsing.runtime.server import BACKGROUND, GrpcServer, Service
from deepsing.runtime.settings import ServerSettings
from deepsing.runtime.supervision import find_failing, supervise


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(supervision, "FIRST_PAUSE_S", 0.01)
    yield
    assert find_failing() == []


async def wait_for_failing(names: list[str]) -> None:
    async with asyncio.timeout(5):
        while find_failing() != names:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("end", [ValueError("bad luck"), asyncio.CancelledError(), None])
async def test_a_task_that_ends_is_named_and_started_again(
    end: BaseException | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "SETTLED_S", 0.2)
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            if end is not None:
                raise end
            return
        await asyncio.Event().wait()

    task = asyncio.create_task(supervise("digging", work))
    await wait_for_failing(["digging"])
    await wait_for_failing([])
    assert runs == 3
    assert caplog.text.count("the background task digging failed, again in") == 2
    assert str(end or "it ended by itself") in caplog.text
    await stop(task)


async def test_an_expected_error_needs_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise KeyError("away")

    task = asyncio.create_task(supervise("digging", work, (KeyError,)))
    await wait_for_failing(["digging"])
    await stop(task)
    assert "again in 0.01 s: 'away'" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_failing_task_is_seen_in_health_and_the_calls_go_on() -> None:
    async def open_nothing() -> object:
        return object()

    async def work() -> None:
        raise ValueError

    async def check(name: str) -> int:
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        return int(answer.status)

    server = GrpcServer(Service("nothing", "a.B", lambda *_: None, open_nothing), ServerSettings(port=0))
    port = await server.start()
    statuses = health_pb2.HealthCheckResponse
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(10):
        stub = health_pb2_grpc.HealthStub(channel)
        assert await check(BACKGROUND) == statuses.SERVING
        task = asyncio.create_task(supervise("digging", work))
        async with asyncio.timeout(5):
            while await check(BACKGROUND) != statuses.NOT_SERVING:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.05)
        assert await check("") == statuses.SERVING
        await stop(task)
        while await check(BACKGROUND) != statuses.SERVING:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.05)
    await server.drain(0)
