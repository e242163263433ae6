import asyncio

import pytest

from deepsing.runtime.batching import MicroBatcher, QueueFull
from deepsing.runtime.onnx import DeviceThread
from tests.unit.runtime.machine import Machine, submit_job


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
    machine: Machine, batcher: MicroBatcher[int, int], running_job: asyncio.Task[int]
) -> None:
    tasks = [await submit_job(batcher, job, weight=weight) for job, weight in [(1, 3), (2, 2), (3, 2), (4, 9), (5, 1)]]
    machine.gate.set()
    await asyncio.gather(*tasks)
    assert machine.batches[1:] == [[1], [2, 3], [4], [5]]


async def test_a_cancelled_job_is_never_computed(
    machine: Machine, batcher: MicroBatcher[int, int], running_job: asyncio.Task[int]
) -> None:
    gone, stays = await submit_job(batcher, 1), await submit_job(batcher, 2)
    gone.cancel()
    machine.gate.set()
    assert await stays == 20
    assert machine.batches == [[0], [2]]


async def test_a_job_whose_time_is_over_is_never_computed_and_says_so(
    machine: Machine, batcher: MicroBatcher[int, int], running_job: asyncio.Task[int]
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
    leaver, other = await submit_job(batcher, 1), await submit_job(batcher, 2)
    await asyncio.to_thread(machine.busy.wait, 10)
    leaver.cancel()
    machine.gate.set()
    assert await other == 20
    assert await batcher.submit(3) == 30


async def test_live_jobs_overtake_offline_ones(
    machine: Machine, batcher: MicroBatcher[int, int], running_job: asyncio.Task[int]
) -> None:
    tasks = [await submit_job(batcher, job, weight=4) for job in (1, 2)] + [
        await submit_job(batcher, 3, weight=4, live=True)
    ]
    machine.gate.set()
    await asyncio.gather(*tasks)
    assert machine.batches[1:] == [[3], [1], [2]]


async def test_a_greedy_session_shares_with_a_modest_one_that_came_later(
    machine: Machine, batcher: MicroBatcher[int, int], running_job: asyncio.Task[int]
) -> None:
    greedy = [await submit_job(batcher, job, weight=4, session="greedy") for job in (1, 2, 3, 4)]
    modest = [await submit_job(batcher, job, weight=4, session="modest") for job in (11, 12)]
    machine.gate.set()
    await asyncio.gather(*greedy, *modest)
    assert machine.batches[1:] == [[1], [11], [2], [12], [3], [4]]


async def test_shares_are_equal_by_weight_and_not_by_number_of_jobs(
    machine: Machine, batcher: MicroBatcher[int, int], running_job: asyncio.Task[int]
) -> None:
    heavy = [await submit_job(batcher, job, weight=4, session="heavy") for job in (1, 2)]
    light = [await submit_job(batcher, job, weight=2, session="light") for job in (11, 12, 13)]
    machine.gate.set()
    await asyncio.gather(*heavy, *light)
    assert machine.batches[1:] == [[1], [11, 12], [2], [13]]


async def test_the_queue_is_bounded_and_one_session_may_hold_half_of_it(
    machine: Machine, batcher: MicroBatcher[int, int], running_job: asyncio.Task[int]
) -> None:
    tasks = [await submit_job(batcher, job, session="a") for job in range(4)]
    with pytest.raises(QueueFull, match="4 jobs of this session wait, the most there may be"):
        await batcher.submit(9, session="a")
    tasks += [await submit_job(batcher, job, session=str(job)) for job in range(4)]
    with pytest.raises(QueueFull, match="8 jobs wait, the most there may be"):
        await batcher.submit(9, session="new")
    tasks.pop().cancel()
    await asyncio.sleep(0)
    tasks.append(await submit_job(batcher, 9, session="new"))
    machine.gate.set()
    assert (await asyncio.gather(*tasks))[-1] == 90


async def test_live_jobs_do_not_wait_for_offline_ones_in_one_batch(
    machine: Machine, batcher: MicroBatcher[int, int], running_job: asyncio.Task[int]
) -> None:
    tasks = [
        await submit_job(batcher, 1),
        await submit_job(batcher, 2, live=True),
        await submit_job(batcher, 3, live=True),
    ]
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


async def test_a_job_whose_caller_leaves_while_it_is_computed_is_abandoned(
    machine: Machine, device: DeviceThread
) -> None:
    left: list[int] = []
    batcher = MicroBatcher(machine.compute, device, max_batch=4, max_wait_s=0.0, max_queue=8, abandon=left.append)
    machine.gate.clear()
    gone, stays = [await submit_job(batcher, number) for number in (1, 2)]
    await asyncio.to_thread(machine.busy.wait, 10)
    gone.cancel()
    await asyncio.wait({gone})
    assert left == [1]
    machine.gate.set()
    assert await stays == 20
    assert left == [1]
