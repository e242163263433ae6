"""A cancel that comes in the very moment in which what was waited for arrives is not lost: the call would never end."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from deepsing.v1 import composer_pb2 as pb
from services.composer.pipeline.analysis import AnalysisUpdate
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.frames import FrameScheduler
from services.composer.pipeline.task import StoryTask
from services.composer.session.config import parse_config
from services.composer.session.credit import CreditGate
from services.composer.session.outbox import Outbox
from services.composer.session.receive import receive_next
from tests.unit.composer.fakes import config, stage

STEPS = range(6)  # of the event loop between the arrival and the cancel; by the last, all have ended
Wait = tuple[Awaitable[object], Callable[[], object]]


def wait_for_message() -> Wait:
    queue: asyncio.Queue[pb.ComposeRequest] = asyncio.Queue()

    async def incoming() -> AsyncIterator[pb.ComposeRequest]:
        while True:
            yield await queue.get()

    return receive_next(incoming(), 60), lambda: queue.put_nowait(pb.ComposeRequest(credit=1))


def wait_for_credit() -> Wait:
    gate = CreditGate(0, None, 60)
    return gate.wait_for_credit(), lambda: gate.grant(1)


def wait_until_drained() -> Wait:
    box, gate = Outbox(), CreditGate(0, 3, 60)
    box.attach(gate)
    gate.offer(pb.Frame(seq=0))

    def send() -> None:
        gate.grant(1)
        gate.pop_next()

    return box.drain(), send


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("begin", [wait_for_message, wait_for_credit, wait_until_drained])
async def test_a_cancel_is_not_lost_as_what_was_waited_for_arrives(begin: Callable[[], Wait], steps: int) -> None:
    waiting, arrive = begin()
    task = asyncio.ensure_future(waiting)
    for _ in STEPS:
        await asyncio.sleep(0)
    arrive()
    for _ in range(steps):
        await asyncio.sleep(0)
    accepted = task.cancel()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled() == accepted


async def test_a_story_that_is_cancelled_while_it_gives_up_its_pictures_is_cancelled() -> None:
    tidying, may_end = asyncio.Event(), asyncio.Event()

    async def paint() -> list[NDArray[np.uint8]]:
        try:
            await asyncio.Event().wait()
        finally:
            tidying.set()
            await may_end.wait()
        return []

    async def updates() -> AsyncGenerator[AnalysisUpdate]:
        await asyncio.sleep(0)  # until painting has begun
        raise ZeroDivisionError
        yield

    async with stage() as composer:
        plan = parse_config(config())
        task = StoryTask(plan, await Capabilities.fetch(plan, composer.servicer.backends), "s")
        scheduler = FrameScheduler(task, composer.servicer.backends, batch=1, in_flight=2)
        scheduler._waiting.append((asyncio.create_task(paint()), []))
        making = asyncio.ensure_future(anext(scheduler.run(updates())))
        await tidying.wait()
        making.cancel()
        may_end.set()
        await asyncio.wait({making}, timeout=5)
        assert making.cancelled()
