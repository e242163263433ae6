"""What painting costs its caller."""

import asyncio

import pytest

from deepsing.access.accounts import Account, Quotas, caller_account
from deepsing.v1 import generator_pb2, sentiment_pb2
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.painting import paint_pictures
from services.composer.pipeline.task import StoryTask
from services.composer.session.config import parse_config
from tests.unit.composer.fakes import CONCEPTS, NOISE, Stage, config, stage


async def start_painting(composer: Stage, account: Account) -> asyncio.Task[generator_pb2.GenerateResponse]:
    """Four pictures, whose device time is usually 10 s each."""
    caller_account.set(account)
    backends = composer.servicer.backends
    plan = parse_config(config())
    task = StoryTask(plan, await Capabilities.fetch(plan, backends), "s")
    request = generator_pb2.GenerateRequest(
        frame_count=4,
        class_weights=[1, *[0] * (CONCEPTS - 1)] * 4,
        noise=[0] * NOISE * 4,
        size=sentiment_pb2.Size(width_px=64, height_px=64),
    )
    backends.pace.record(10e6)
    return asyncio.create_task(paint_pictures(task, backends, request))


async def test_a_batch_costs_what_the_device_says() -> None:
    account = Account("ann")
    async with stage() as composer:
        await (await start_painting(composer, account))
    assert account._work_s == pytest.approx(0.001)


@pytest.mark.parametrize("quota_s", [0.0, 0.001], ids=["no quota", "a quota that it uses up"])
async def test_a_batch_that_is_cancelled_costs_the_time_it_took_so_far(quota_s: float) -> None:
    account = Account("ann")
    account.quotas = Quotas(work_s_per_day=quota_s)
    async with stage() as composer:
        composer.generator.release = asyncio.Event()
        painting = await start_painting(composer, account)
        await composer.generator.called.wait()
        await asyncio.sleep(0.1)
        painting.cancel()
        await asyncio.wait({painting})
        assert painting.cancelled()
    assert 0.1 <= account._work_s < 10
