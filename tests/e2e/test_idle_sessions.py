"""A thousand sessions that are opened and dropped leave the composer as large as it was."""

import asyncio

import pytest

from bench.memory import begin_session, run_composer
from bench.processes import resident_bytes
from deepsing.rpc.channel import open_channel
from deepsing.v1.composer_pb2_grpc import ComposerServiceStub

CROWD, ROUNDS = 100, 10
SETTLED = 3  # rounds after which a process has what it needs


@pytest.mark.slow
async def test_a_thousand_sessions_that_come_and_go_leave_no_memory_behind() -> None:
    async with (
        run_composer(
            DEEPSING_COMPOSER_MAX_SESSIONS=str(CROWD), DEEPSING_COMPOSER_MAX_SESSIONS_PER_CALLER=str(CROWD)
        ) as composer,
        open_channel(composer.target) as channel,
    ):
        stub, sizes = ComposerServiceStub(channel), []
        for _ in range(ROUNDS):
            calls = [await begin_session(stub) for _ in range(CROWD)]
            for call in calls:
                call.cancel()
            await asyncio.sleep(0.5)  # cancellations reach the server; what is late is refused in the next round
            sizes.append(resident_bytes(composer.pid))
    grown = (sizes[-1] - sizes[SETTLED - 1]) / (CROWD * (ROUNDS - SETTLED))
    assert grown < 8 * 1024, [size >> 20 for size in sizes]  # bytes a session
