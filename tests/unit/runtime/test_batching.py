import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from deepsing.runtime.batching import GROW_AFTER, MicroBatcher, QueueFull
from deepsing.runtime.onnx import DeviceThread


class Machine:
    """A device that works only while its gate is open, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.fails: Callable[[list[int]], Exception | None] = lambda jobs: None

    def compute(self, jobs: list[int]) -> list[int]:
        self.batches.append(jobs)
        self.busy.set()
        assert self.gate.wait(10)
        if error := self.fails(jobs):
            raise error
        return [job * 10 for job in jobs]


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def device() -> Iterator[DeviceThread]:
    device = DeviceThread()
    yield device
    device.close()


@pytest.fixture
def batcher(machine: Machine, device: DeviceThread) -> MicroBatcher[int, int]:
    return MicroBatcher(machine.compute, device, max_batch=4, max_wait_s=0.05, max_queue=8)


@pytest.fixture
async def held(machine: Machine, batcher: MicroBatcher[int, int]) -> AsyncIterator[asyncio.Task[int]]:
    """The device is at work on job 0 until the gate opens."""
    machine.gate.clear()
    first = asyncio.create_task(batcher.submit(0))
    await asyncio.to_thread(machine.busy.wait, 10)
    yield first
    machine.gate.set()
    await first


async def queued(batcher: MicroBatcher[int, int], job: int, **options: object) -> asyncio.Task[int]:
    task = asyncio.create_task(batcher.submit(job, **options))  # type: ignore[arg-type]
    await asyncio.sleep(0)  # lets it take its place in the queue
    return task


async def test_a_lone_job_is_answered_without_company(batcher: MicroBatcher[int, int]) -> None:
    assert await batcher.submit(7) == 70


async def test_jobs_that_come_together_run_together_and_each_gets_its_own_result(
    machine: Machine, batcher: MicroBatcher[int, int]
) -> None:
    assert await asyncio.gather(*(batcher.submit(job) for job in range(6))) == [0, 10, 20, 30, 40, 50]
    assert machine.batches == [[0, 1, 2, 3], [4, 5]]


async def test_a_full_batch_does_not_wait_for_more(machine: Machine, device: DeviceThread) -> None:
    batcher = MicroBatcher(machine.compute, device, max_batch=2, max_wait_s=3600, max_queue=8)
    assert await asyncio.wait_for(asyncio.gather(*(batcher.submit(job) for job in (1, 2))), 10) == [10, 20]


async def test_a_batch_is_bounded_by_weight_and_a_heavier_job_runs_alone(
    machine: Machine, batcher: MicroBatcher[int, int], held: asyncio.Task[int]
) -> None:
    tasks = [await queued(batcher, job, weight=weight) for job, weight in [(1, 3), (2, 2), (3, 2), (4, 9), (5, 1)]]
    machine.gate.set()
    await asyncio.gather(*tasks)
    assert machine.batches[1:] == [[1], [2, 3], [4], [5]]


async def test_a_cancelled_job_is_never_computed(
    machine: Machine, batcher: MicroBatcher[int, int], held: asyncio.Task[int]
) -> None:
    gone, stays = await queued(batcher, 1), await queued(batcher, 2)
    gone.cancel()
    machine.gate.set()
    assert await stays == 20
    assert machine.batches == [[0], [2]]


async def test_a_job_whose_time_is_over_is_never_computed_and_says_so(
    machine: Machine, batcher: MicroBatcher[int, int], held: asyncio.Task[int]
) -> None:
    with pytest.raises(TimeoutError):
        await batcher.submit(1, timeout_s=0.01)
    machine.gate.set()
    assert await batcher.submit(2) == 20
    assert machine.batches == [[0], [2]]


async def test_leaving_during_the_computation_disturbs_nobody(
    machine: Machine, batcher: MicroBatcher[int, int]
) -> None:
    machine.gate.clear()
    leaver, other = await queued(batcher, 1), await queued(batcher, 2)
    await asyncio.to_thread(machine.busy.wait, 10)
    leaver.cancel()
    machine.gate.set()
    assert await other == 20
    assert await batcher.submit(3) == 30


async def test_live_jobs_overtake_offline_ones(
    machine: Machine, batcher: MicroBatcher[int, int], held: asyncio.Task[int]
) -> None:
    tasks = [await queued(batcher, job, weight=4) for job in (1, 2)] + [await queued(batcher, 3, weight=4, live=True)]
    machine.gate.set()
    await asyncio.gather(*tasks)
    assert machine.batches[1:] == [[3], [1], [2]]


async def test_a_greedy_session_shares_with_a_modest_one_that_came_later(
    machine: Machine, batcher: MicroBatcher[int, int], held: asyncio.Task[int]
) -> None:
    greedy = [await queued(batcher, job, weight=4, session="greedy") for job in (1, 2, 3, 4)]
    modest = [await queued(batcher, job, weight=4, session="modest") for job in (11, 12)]
    machine.gate.set()
    await asyncio.gather(*greedy, *modest)
    assert machine.batches[1:] == [[1], [11], [2], [12], [3], [4]]


async def test_shares_are_equal_by_weight_and_not_by_number_of_jobs(
    machine: Machine, batcher: MicroBatcher[int, int], held: asyncio.Task[int]
) -> None:
    heavy = [await queued(batcher, job, weight=4, session="heavy") for job in (1, 2)]
    light = [await queued(batcher, job, weight=2, session="light") for job in (11, 12, 13)]
    machine.gate.set()
    await asyncio.gather(*heavy, *light)
    assert machine.batches[1:] == [[1], [11, 12], [2], [13]]


async def test_the_queue_is_bounded_and_one_session_may_hold_half_of_it(
    machine: Machine, batcher: MicroBatcher[int, int], held: asyncio.Task[int]
) -> None:
    tasks = [await queued(batcher, job, session="a") for job in range(4)]
    with pytest.raises(QueueFull, match="4 jobs of this session wait, the most there may be"):
        await batcher.submit(9, session="a")
    tasks += [await queued(batcher, job, session=str(job)) for job in range(4)]
    with pytest.raises(QueueFull, match="8 jobs wait, the most there may be"):
        await batcher.submit(9, session="new")
    tasks.pop().cancel()
    await asyncio.sleep(0)
    tasks.append(await queued(batcher, 9, session="new"))
    machine.gate.set()
    assert (await asyncio.gather(*tasks))[-1] == 90


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
    machine: Machine, batcher: MicroBatcher[int, int], held: asyncio.Task[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    late, patient = await queued(batcher, 1, timeout_s=30), await queued(batcher, 2)
    monkeypatch.setattr(batcher, "_learn", lambda *_: monkeypatch.setattr(batcher, "_pace_s", 40.0))
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


async def test_live_jobs_do_not_wait_for_offline_ones_in_one_batch(
    machine: Machine, batcher: MicroBatcher[int, int], held: asyncio.Task[int]
) -> None:
    tasks = [await queued(batcher, 1), await queued(batcher, 2, live=True), await queued(batcher, 3, live=True)]
    machine.gate.set()
    await asyncio.gather(*tasks)
    assert machine.batches == [[0], [2, 3], [1]]


async def test_a_failing_job_fails_alone(machine: Machine, batcher: MicroBatcher[int, int]) -> None:
    machine.fails = lambda jobs: KeyError("bad") if 2 in jobs else None
    answers = await asyncio.gather(*(batcher.submit(job) for job in range(4)), return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, BaseException)] == [0, 10, 30]
    assert isinstance(answers[2], KeyError)
    assert batcher.max_batch == 4


async def test_a_wrong_number_of_results_is_an_error_and_not_a_hang(device: DeviceThread) -> None:
    def compute(jobs: list[int]) -> list[int]:
        return []

    batcher = MicroBatcher(compute, device, max_batch=4, max_wait_s=0, max_queue=8)
    with pytest.raises(ValueError, match="0 results came for 1 jobs"):
        await asyncio.wait_for(batcher.submit(1), 10)


async def test_a_closed_device_is_an_error_and_not_a_hang(
    device: DeviceThread, batcher: MicroBatcher[int, int]
) -> None:
    device.close()
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(batcher.submit(1), 10)
