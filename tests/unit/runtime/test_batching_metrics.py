import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from deepsing.runtime.batching import MicroBatcher
from deepsing.runtime.onnx import DeviceThread
from deepsing.telemetry.ids import log_ids, request_id
from tests.unit.telemetry.counted import MetricDelta


@pytest.fixture
def device() -> Iterator[DeviceThread]:
    device = DeviceThread()
    yield device
    device.close()


def batcher(device: DeviceThread, compute: object, max_batch: int = 8) -> MicroBatcher[int, int]:
    return MicroBatcher(compute, device, max_batch=max_batch, max_wait_s=0.05, max_queue=8)  # type: ignore[arg-type]


async def test_a_batch_is_counted_by_its_weight(device: DeviceThread) -> None:
    delta = MetricDelta()
    jobs = batcher(device, list)
    await asyncio.gather(*(jobs.submit(job, weight=4) for job in range(2)))
    assert (delta("deepsing_batch_size_count"), delta("deepsing_batch_size_sum")) == (1, 8)
    assert delta("deepsing_batch_item_seconds_count") == 1


async def test_the_queue_is_as_long_as_what_waits_in_it(device: DeviceThread) -> None:
    delta, gate, busy = MetricDelta(), threading.Event(), threading.Event()

    def compute(jobs: list[int]) -> list[int]:
        busy.set()
        gate.wait(10)
        return jobs

    jobs = batcher(device, compute, max_batch=1)
    first = asyncio.create_task(jobs.submit(0))
    await asyncio.to_thread(busy.wait, 10)
    rest = [asyncio.create_task(jobs.submit(job)) for job in (1, 2, 3)]
    await asyncio.sleep(0)
    assert delta("deepsing_batch_queue_jobs") == 3
    rest.pop().cancel()
    await asyncio.sleep(0)
    assert delta("deepsing_batch_queue_jobs") == 2
    gate.set()
    await asyncio.gather(first, *rest)
    assert delta("deepsing_batch_queue_jobs") == 0


async def test_a_batch_for_which_memory_ran_out_is_counted_as_that_and_not_as_computed(device: DeviceThread) -> None:
    delta = MetricDelta()

    def compute(jobs: list[int]) -> list[int]:
        if len(jobs) > 1:
            raise MemoryError
        return jobs

    jobs = batcher(device, compute, max_batch=2)
    await asyncio.gather(jobs.submit(0), jobs.submit(1))
    assert delta("deepsing_batch_out_of_memory_total") == 1
    assert (delta("deepsing_batch_size_count"), delta("deepsing_batch_size_sum")) == (2, 2)


async def test_the_worker_does_not_speak_in_the_name_of_whoever_came_first(device: DeviceThread) -> None:
    spoken: list[dict[str, str]] = []

    class Listening(DeviceThread):
        async def run(self, work: Any, *arguments: Any) -> Any:
            spoken.append(log_ids())
            return await super().run(work, *arguments)

    listening = Listening()
    request_id.set("first")
    await batcher(listening, list).submit(0)
    listening.close()
    assert spoken == [{}]
