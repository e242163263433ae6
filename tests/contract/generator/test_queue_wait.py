"""Waits are counted for the queue that a batch was in."""

import pytest

from deepsing.v1 import generator_pb2, generator_pb2_grpc
from tests.contract.generator.test_generate import make_request, noisy, open_tiny, serve
from tests.unit.telemetry.counted import MetricDelta


@pytest.mark.parametrize(
    ("priority", "queue"),
    [
        (generator_pb2.PRIORITY_UNSPECIFIED, "offline"),
        (generator_pb2.PRIORITY_OFFLINE, "offline"),
        (generator_pb2.PRIORITY_LIVE, "live"),
    ],
)
async def test_a_wait_is_counted_for_the_queue_that_it_was_in(priority: int, queue: str) -> None:
    delta = MetricDelta()
    server, channel = await serve(open_tiny)
    async with channel:
        stub = generator_pb2_grpc.GeneratorServiceStub(channel)
        await stub.Generate(make_request(1, noise=noisy(1), priority=priority))
    await server.drain(0)
    waits = {name: delta("deepsing_batch_queue_wait_seconds_count", priority=name) for name in ("live", "offline")}
    assert waits == {"live": 0, "offline": 0} | {queue: 1}
