"""Hedged calls: which answer counts, and that the other calls are cancelled."""

import asyncio
from collections.abc import Generator
from typing import Any

import grpc
import pytest

from services.composer.backends import hedging
from services.composer.backends.hedging import Hedge
from tests.unit.composer.backends.test_replicas import SONG, stage_behind_proxy
from tests.unit.composer.fakes import config
from tests.unit.composer.session.test_session import compose_all, only
from tests.unit.telemetry.counted import MetricDelta

AWAY = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone")


class Call:
    """A unary call whose outcome the test decides."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.made_s = asyncio.get_running_loop().time()

    def __await__(self) -> Generator[Any, None, str]:
        return self.outcome.__await__()

    def cancel(self) -> None:
        self.outcome.cancel()


class Line:
    """Records the calls that are made."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._another = asyncio.Event()

    def ask(self) -> Call:
        self.calls.append(Call())
        self._another.set()
        return self.calls[-1]

    async def wait_for_calls(self, count: int) -> list[Call]:
        """Waits until so many calls were made."""
        async with asyncio.timeout(10):
            while len(self.calls) < count:
                self._another.clear()
                await self._another.wait()
        return self.calls


@pytest.fixture(autouse=True)
def shorten_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hedging, "LEAST_S", 0.02)
    monkeypatch.setattr(hedging, "UNKNOWN_S", 0.04)


async def test_the_second_call_answers_and_the_first_is_cancelled() -> None:
    line, metric = Line(), MetricDelta()
    asked = asyncio.create_task(Hedge("generator").race(line.ask, str))
    first, second = await line.wait_for_calls(2)
    second.outcome.set_result("pictures")
    assert await asked == "pictures"
    assert first.outcome.cancelled()
    assert metric("deepsing_dependency_hedges_total", dependency="generator") == 1


async def test_the_first_may_still_answer() -> None:
    line = Line()
    asked = asyncio.create_task(Hedge("generator").race(line.ask, str))
    first, second = await line.wait_for_calls(2)
    first.outcome.set_result("late pictures")
    assert await asked == "late pictures"
    assert second.outcome.cancelled()


async def test_a_second_that_fails_takes_nothing_from_the_first_and_is_made_again() -> None:
    line = Line()
    asked = asyncio.create_task(Hedge("generator").race(line.ask, str))
    (await line.wait_for_calls(2))[1].outcome.set_exception(AWAY)
    (await line.wait_for_calls(3))[0].outcome.set_result("pictures")
    assert await asked == "pictures"


async def test_if_all_calls_have_failed_the_error_is_raised_at_once() -> None:
    line = Line()
    asked = asyncio.create_task(Hedge("generator").race(line.ask, str))
    for call in await line.wait_for_calls(2):
        call.outcome.set_exception(AWAY)
    with pytest.raises(grpc.aio.AioRpcError):
        await asked


async def test_each_further_call_is_waited_for_twice_as_long_and_none_outlives_its_caller() -> None:
    line = Line()
    asked = asyncio.create_task(Hedge("generator").race(line.ask, str))
    await line.wait_for_calls(4)
    times_s = [call.made_s - line.calls[0].made_s for call in line.calls[1:]]
    assert all(time_s >= least_s for time_s, least_s in zip(times_s, (0.04, 0.12, 0.28), strict=True))
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert all(call.outcome.cancelled() for call in line.calls)


async def test_what_usually_takes_long_is_waited_for_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(hedging, "monotonic", lambda: now_s)
    monkeypatch.setattr(hedging, "UNKNOWN_S", 8.0)
    hedge, line = Hedge("generator"), Line()
    assert hedge.patience_s(str) == 8.0, "a first call may meet a busy machine"
    asked = asyncio.create_task(hedge.race(line.ask, str))
    (call,) = await line.wait_for_calls(1)
    await asyncio.sleep(0)
    now_s = 3.0
    call.outcome.set_result("pictures")
    await asked
    assert hedge.patience_s(str) == 6.0
    assert hedge.patience_s(int) == 8.0, "other requests are other work"


async def test_a_replica_that_falls_silent_is_passed_over_long_before_a_call_times_out() -> None:
    async with stage_behind_proxy(direct=True, call_timeout_s=60) as (composer, proxy), asyncio.timeout(10):
        whole = only(await compose_all(composer.stub, config(), SONG), "frame")
        assert proxy.silence() == 1
        calls = len(composer.generator.calls)
        assert only(await compose_all(composer.stub, config(), SONG), "frame") == whole
        assert len(composer.generator.calls) - calls == 9, "each batch is painted once, by the other"
