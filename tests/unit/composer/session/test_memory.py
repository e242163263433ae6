"""Frames that nobody reads cost a bounded number of bytes, and are given up where others wait for the memory."""

import asyncio
from typing import Any

import grpc
import pytest

from deepsing.rpc.errors import parse_error_info
from deepsing.rpc.workarounds import keep_status
from deepsing.v1 import sentiment_pb2
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.room import plan_room
from services.composer.pipeline.task import StoryTask
from services.composer.session import session
from services.composer.session.config import parse_config
from services.composer.session.outbox import MOST_BYTES
from tests.unit.composer.fakes import Stage, config, pcm, stage, upload
from tests.unit.composer.session.test_session import compose_all, only

SOON_S = 30.0
MIB = 2**20
LARGE = {"size": sentiment_pb2.Size(width_px=640, height_px=640), "image_format": sentiment_pb2.IMAGE_FORMAT_RAW_RGB}


async def _plan(composer: Stage, **fields: Any) -> StoryTask:
    plan = parse_config(config(**fields))
    return StoryTask(plan, await Capabilities.fetch(plan, composer.servicer.backends), "s")


async def test_a_story_holds_as_much_as_it_may_and_no_less_than_one_picture() -> None:
    async with stage() as composer:
        task, settings = await _plan(composer, **LARGE), composer.servicer.settings
        whole = plan_room(task, settings)
        assert (whole.batch, whole.in_flight, whole.films) == (8, 3, 2)
        least = plan_room(task, settings, 0)
        more = whole.bytes - least.bytes
        assert plan_room(task, settings, more) == whole
        half = plan_room(task, settings, more * 0.99)
        assert half.bytes <= least.bytes + more
        assert 1 <= half.batch < 8
        assert (least.batch, least.in_flight, least.films) == (1, 1, 1)
        frame = 3 * 640 * 640
        assert least.bytes == 3 * 64 * 64 + 2 * frame + 4 * frame
        video = plan_room(await _plan(composer, files=[1], **LARGE), settings, 0)
        assert video.bytes == least.bytes + 18 * frame + 10 * MIB


async def test_frames_do_not_depend_on_the_memory_that_there_is() -> None:
    images = []
    for room in (640 * MIB, 3 * MIB):
        async with stage(frames_bytes=room) as composer:
            responses = await compose_all(composer.stub, config())
            images.append([frame.image for frame in only(responses, "frame")])
    assert images[0] == images[1]
    assert len(images[0]) == 151


async def test_a_session_that_reads_nothing_gives_its_memory_to_one_that_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "UNREAD_S", 0.3)
    monkeypatch.setattr(session, "WATCH_S", 0.1)
    async with stage(frames_bytes=10 * MIB) as composer:
        idle = composer.stub.Compose(upload(config(**LARGE), pcm(6.3)))
        keep_status(idle)
        resources = composer.servicer.resources
        async with asyncio.timeout(SOON_S):
            while not resources.memory.used:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.01)
            assert len(only(await compose_all(composer.stub, config(**LARGE)), "frame")) == 151
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in idle:
                    pass
        assert parse_error_info(caught.value)[0] == "SESSIONS_EXHAUSTED"
        assert "nothing was read for 0.3 s while others wait for memory" in (caught.value.details() or "")
        await composer.servicer.idle.wait()
        assert (resources.memory.used, resources.disk.used) == (0, resources.song_cache.total_bytes)


async def test_frames_larger_than_all_memory_are_refused_at_once() -> None:
    async with stage(frames_bytes=2 * MIB) as composer:
        call = composer.stub.Compose(upload(config(**LARGE), pcm(6.3)))
        keep_status(call)
        async with asyncio.timeout(SOON_S):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in call:
                    pass
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert parse_error_info(caught.value)[0] == "SESSIONS_EXHAUSTED"


async def test_few_large_frames_wait_for_the_reader() -> None:
    async with stage() as composer:
        made = session.Session(composer.servicer.settings, composer.servicer.backends, composer.servicer.resources, "s")
        responses = made.run(upload(config(**LARGE), pcm(6.3)))
        assert (await anext(responses)).HasField("session_started")
        async with asyncio.timeout(SOON_S):
            while not made.outbox.full():  # noqa: ASYNC110 - a queue has no event for being full
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        waiting = [len(one.frame.image) for one in made.outbox.waiting if one is not None]
        assert sum(waiting) < MOST_BYTES + 3 * 640 * 640
        await responses.aclose()
