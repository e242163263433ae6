"""Waits are counted for the queue that a batch was in."""

import pytest

from deepsing.v1 import generator_pb2, generator_pb2_grpc
from tests.contract.generator.test_generate import asked, embedded, noisy, serve
from tests.unit.telemetry.counted import Counted


@pytest.mark.parametrize(
    ("priority", "queue"),
    [
        (generator_pb2.PRIORITY_UNSPECIFIED, "offline"),
        (generator_pb2.PRIORITY_OFFLINE, "offline"),
        (generator_pb2.PRIORITY_LIVE, "live"),
    ],
)
async def test_a_wait_is_counted_for_the_queue_that_it_was_in(priority: int, queue: str) -> None:
    counted = Counted()
    server, channel = await serve(embedded)
    async with channel:
        stub = generator_pb2_grpc.GeneratorServiceStub(channel)
        await stub.Generate(asked(1, noise=noisy(1), priority=priority))
    await server.drain(0)
    waits = {name: counted("deepsing_batch_queue_wait_seconds_count", priority=name) for name in ("live", "offline")}
    assert waits == {"live": 0, "offline": 0} | {queue: 1}
