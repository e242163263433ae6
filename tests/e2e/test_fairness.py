"""Callers of one real generator: how the queue shares it among them, counted in pictures."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from bench.processes import run_service
from deepsing.rpc.channel import open_channel
from deepsing.v1.generator_pb2 import PRIORITY_LIVE, PRIORITY_OFFLINE, GenerateRequest
from deepsing.v1.generator_pb2_grpc import GeneratorServiceStub
from deepsing.v1.sentiment_pb2 import IMAGE_FORMAT_JPEG, Size
from tests.unit.generator.opened import WEIGHTS

BATCH = 8
SLOW = Size(width_px=512, height_px=512)  # so that the generator, not its callers, is what is waited for


class Callers:
    """Sessions that keep batches before the generator, and what each has got."""

    def __init__(self, target: str) -> None:
        self.channel = open_channel(target)
        self.got: Counter[str] = Counter()
        self.tasks: list[asyncio.Task[None]] = []
        self.served = asyncio.Condition()

    def keep(self, session: str, in_flight: int, *, live: bool = False) -> None:
        request = GenerateRequest(
            frame_count=BATCH,
            class_weights=[1.0, 0.0, 0.0] * BATCH,
            size=SLOW,
            image_format=IMAGE_FORMAT_JPEG,
            priority=PRIORITY_LIVE if live else PRIORITY_OFFLINE,
            session_id=session,
        )
        self.tasks += [asyncio.create_task(self._ask(request)) for _ in range(in_flight)]

    async def _ask(self, request: GenerateRequest) -> None:
        while True:
            answer = await GeneratorServiceStub(self.channel).Generate(request)
            async with self.served:
                self.got[request.session_id] += len(answer.images)
                self.served.notify_all()

    async def until(self, session: str, pictures: int) -> Counter[str]:
        """What each has got once a session has got so many."""
        async with self.served:
            await asyncio.wait_for(self.served.wait_for(lambda: self.got[session] >= pictures), 60)
            return self.got.copy()


@pytest.fixture
async def callers() -> AsyncIterator[Callers]:
    settings = {"DEEPSING_GENERATOR_ENGINES": "tiny", "DEEPSING_GENERATOR_WEIGHTS": str(WEIGHTS)}
    async with run_service("generator", **settings, DEEPSING_GENERATOR_MAX_BATCH=str(BATCH)) as generator:
        callers = Callers(generator.target)
        yield callers
        for task in callers.tasks:
            task.cancel()
        await asyncio.gather(*callers.tasks, return_exceptions=True)
        await callers.channel.close()


async def test_a_greedy_session_and_a_modest_one_get_equal_shares(callers: Callers) -> None:
    callers.keep("greedy", 40)
    before = await callers.until("greedy", 5 * BATCH)
    callers.keep("modest", 4)
    after = await callers.until("modest", 40 * BATCH)
    assert after["greedy"] - before["greedy"] == pytest.approx(40 * BATCH, rel=0.1)


async def test_live_sessions_go_first_and_leave_an_eighth_to_offline_ones(callers: Callers) -> None:
    callers.keep("offline", 20)
    before = await callers.until("offline", 2 * BATCH)
    callers.keep("live", 6, live=True)
    after = await callers.until("live", 70 * BATCH)
    assert after["offline"] - before["offline"] == pytest.approx(10 * BATCH, abs=3 * BATCH)
