"""What the batcher does where memory or time does not suffice."""

import asyncio

import pytest

from deepsing.runtime.batching import GROW_AFTER, MicroBatcher
from tests.unit.runtime.machine import Machine, submit_job


async def test_when_memory_runs_out_batches_are_halved_and_nobody_notices(
    machine: Machine, batcher: MicroBatcher[int, int]
) -> None:
    machine.fails = lambda jobs: MemoryError() if len(jobs) > 2 else None
    assert await asyncio.gather(*(batcher.submit(job) for job in range(4))) == [0, 10, 20, 30]
    assert machine.batches == [[0, 1, 2, 3], [0, 1], [2, 3]]
    assert batcher.max_batch == 2
    machine.batches.clear()
    await asyncio.gather(*(batcher.submit(job) for job in range(4)))
    assert machine.batches == [[0, 1], [2, 3]]


async def test_batches_grow_again_once_memory_was_enough_for_a_while(
    machine: Machine, batcher: MicroBatcher[int, int]
) -> None:
    machine.fails = lambda jobs: MemoryError() if len(jobs) > 1 else None
    await asyncio.gather(*(batcher.submit(job) for job in range(4)))
    assert batcher.max_batch == 1
    machine.fails = lambda jobs: None
    sizes = []
    for job in range(2 * GROW_AFTER):
        await batcher.submit(job)
        sizes.append(batcher.max_batch)
    assert [sizes.count(size) for size in (1, 2, 4)] == [GROW_AFTER - 3, GROW_AFTER, 3]  # two ran alone before
    assert await asyncio.gather(*(batcher.submit(job) for job in range(4))) == [0, 10, 20, 30]
    assert machine.batches[-1] == [0, 1, 2, 3]


async def test_memory_that_runs_out_while_batches_grow_makes_them_wait_longer(
    machine: Machine, batcher: MicroBatcher[int, int]
) -> None:
    machine.fails = lambda jobs: MemoryError() if len(jobs) > 2 else None
    await asyncio.gather(*(batcher.submit(job) for job in range(4)))
    for job in range(GROW_AFTER):
        await batcher.submit(job)
    assert batcher.max_batch == 4
    assert await asyncio.gather(*(batcher.submit(job) for job in range(4))) == [0, 10, 20, 30]
    assert batcher.max_batch == 2


async def test_a_job_that_cannot_be_done_in_its_time_is_refused_before_it_is_begun(
    machine: Machine, batcher: MicroBatcher[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    await batcher.submit(0)
    monkeypatch.setattr(batcher, "_pace_s", 10.0)  # seconds a unit of weight, as if measured
    with pytest.raises(TimeoutError, match="cannot be done within its time"):
        await batcher.submit(1, weight=2, timeout_s=15)
    assert await batcher.submit(2, weight=2, timeout_s=17) == 20  # the refusal lowered the pace to 8 s
    assert machine.batches == [[0], [2]]


async def test_a_job_that_waited_until_it_cannot_be_done_in_time_is_dropped_when_its_turn_comes(
    machine: Machine, batcher: MicroBatcher[int, int], running_job: asyncio.Task[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    late, patient = await submit_job(batcher, 1, timeout_s=30), await submit_job(batcher, 2)
    monkeypatch.setattr(batcher, "_adapt", lambda *_: monkeypatch.setattr(batcher, "_pace_s", 40.0))
    machine.gate.set()
    with pytest.raises(TimeoutError, match="cannot be done within its time"):
        await late
    assert await patient == 20
    assert machine.batches == [[0], [2]]


async def test_an_estimate_that_refuses_all_gives_way_until_a_job_is_tried_again(
    batcher: MicroBatcher[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "_pace_s", 60.0)
    refused = 0
    while refused < 100:
        try:
            assert await batcher.submit(1, timeout_s=5) == 10
            break
        except TimeoutError:
            refused += 1
    assert refused == 12  # 60 s x 0.8 ** 12 is the first that is below 5 s
