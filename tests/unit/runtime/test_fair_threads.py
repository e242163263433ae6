"""Long work ends with its caller, is charged, and never keeps another caller waiting for its own end."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from deepsing.rpc.errors import ResourceExhausted
from deepsing.runtime.fair_queue import QueueFull
from deepsing.runtime.fair_threads import FairThreads, Pause, WorkStopped
from deepsing.v1 import error_reason_pb2 as reasons

SOON_S = 20.0  # for what takes milliseconds; long, because test machines are busy


@pytest.fixture
async def threads() -> AsyncIterator[FairThreads]:
    threads = FairThreads("work", turns=1, most=8)
    yield threads
    threads.close()


def spin(seconds: float, log: Callable[[], None] = lambda: None) -> Callable[[Pause], str]:
    """Work of so much processor time."""

    def work(pause: Pause) -> str:
        end_s = time.thread_time() + seconds
        while time.thread_time() < end_s:
            log()
            pause()
        return "done"

    return work


async def test_it_returns_what_the_work_returns_and_raises_what_it_raises(threads: FairThreads) -> None:
    assert await threads.run(lambda pause: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda pause: 1 // 0)
    assert await threads.run(spin(0.01)) == "done"


async def test_work_whose_caller_leaves_ends_at_its_next_pause(threads: FairThreads) -> None:
    began, ended = threading.Event(), threading.Event()

    def endless(pause: Pause) -> None:
        began.set()
        try:
            while True:
                pause()
        except WorkStopped:
            ended.set()
            raise

    task = asyncio.create_task(threads.run(endless))
    assert await asyncio.to_thread(began.wait, SOON_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, SOON_S)
    assert await threads.run(spin(0.0)) == "done"


async def test_work_whose_caller_leaves_before_its_turn_never_begins(threads: FairThreads) -> None:
    gate, began = threading.Event(), []
    first = asyncio.create_task(threads.run(lambda pause: gate.wait(SOON_S)))
    second = asyncio.create_task(threads.run(lambda pause: began.append(1)))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    gate.set()
    assert await first
    assert await threads.run(lambda pause: began) == []


async def test_a_short_work_does_not_wait_for_the_end_of_long_ones_of_its_caller(threads: FairThreads) -> None:
    long = [asyncio.create_task(threads.run(spin(60))) for _ in range(6)]
    await asyncio.sleep(0.3)
    async with asyncio.timeout(SOON_S):
        assert await threads.run(spin(0.1)) == "done"
    assert not any(task.done() for task in long)
    for task in long:
        task.cancel()
    await asyncio.wait(long)


async def test_callers_get_equal_shares_however_much_one_asks(threads: FairThreads) -> None:
    turns = {"greedy": 0.0, "modest": 0.0}
    greedy = [
        asyncio.create_task(threads.run(spin(60), caller="greedy", charge=lambda s: add(turns, "greedy", s)))
        for _ in range(4)
    ]
    await asyncio.sleep(0.2)
    before = turns["greedy"]
    await threads.run(spin(1.0), caller="modest", charge=lambda s: add(turns, "modest", s))
    for task in greedy:
        task.cancel()
    await asyncio.wait(greedy)
    async with asyncio.timeout(SOON_S):
        while threads._works:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert turns["modest"] == pytest.approx(1.0, abs=0.1)
    assert 0.5 < turns["greedy"] - before < 1.8


def add(turns: dict[str, float], who: str, seconds: float) -> None:
    turns[who] += seconds


async def test_work_is_charged_while_it_runs_and_after_a_cancel(threads: FairThreads) -> None:
    charged: list[float] = []
    task = asyncio.create_task(threads.run(spin(60), charge=charged.append))
    async with asyncio.timeout(SOON_S):
        while not charged:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
    assert charged[0] >= 0.5
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.wait({task})
    async with asyncio.timeout(SOON_S):
        while len(charged) < 2:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
    assert sum(charged) > 0.5


async def test_work_beyond_a_quota_ends_with_the_refusal(threads: FairThreads) -> None:
    def refuse(work_s: float) -> None:
        raise ResourceExhausted("used up", reason=reasons.ERROR_REASON_QUOTA_EXCEEDED)

    async with asyncio.timeout(SOON_S):
        with pytest.raises(ResourceExhausted, match="used up"):
            await threads.run(spin(60), charge=refuse)
        while threads._works:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


async def test_a_caller_has_half_of_the_places_and_all_have_all(threads: FairThreads) -> None:
    works = [asyncio.create_task(threads.run(spin(60), caller="greedy")) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull, match="4 such calls of this caller wait"):
        await threads.run(spin(0.0), caller="greedy")
    works += [asyncio.create_task(threads.run(spin(60))) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull, match="8 such calls wait"):
        await threads.run(spin(0.0), caller="other")
    for task in works:
        task.cancel()
    await asyncio.wait(works)
