"""A real server of Redis or Valkey as a queue: the rules of all queues, restarts, and what happens while it is away."""

import asyncio
import itertools
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deepsing.v1 import composer_pb2 as pb
from tests.redis_server import RedisServer, start_redis
from tests.unit.composer.fakes import stage
from tests.unit.composer.stored.calls import SONG, create, upload, watch
from tests.unit.composer.stored.queue_rules import RULES, Open, Rule, opening, take_all, take_within
from tests.unit.composer.stored.test_stories import expect_refusal

pytest.importorskip("redis", reason="needs the extra queue")
from services.composer.stored.queue import QueueError
from services.composer.stored.redis_queue import RedisQueue

numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with start_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def open_redis(server: RedisServer) -> AsyncIterator[Open]:
    store = f"store {next(numbers)}"
    async with opening(lambda: RedisQueue(server.url, store)) as open_again:
        yield open_again


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
async def test_a_server_keeps_the_rules_of_queues(open_redis: Open, rule: Rule) -> None:
    await rule(open_redis)


async def test_queues_of_two_stores_do_not_mix(server: RedisServer, open_redis: Open) -> None:
    other = RedisQueue(server.url, "another store")
    await open_redis().add("a", "ann", 9)
    assert await other.take(1.0) is None
    await other.close()


async def test_of_100_000_stories_the_next_is_taken_at_once(server: RedisServer, open_redis: Open) -> None:
    queue = open_redis()
    assert isinstance(queue, RedisQueue)
    for first in range(0, 100_000, 1000):
        async with queue._server.pipeline(transaction=False) as pipe:
            for number in range(first, first + 1000):
                owner, name = f"{number % 100}", f"records/{number % 100}/{number}"
                pipe.hset(f"{queue._key}story:{name}", mapping={"owner": owner, "turn": number // 100, "token": ""})
                pipe.zadd(f"{queue._key}ready", {name: number // 100})
            await pipe.execute()
    waits = []
    for number in range(20):
        began = time.perf_counter()
        await queue.add(f"new{number}", f"newcomer{number}", 9)
        assert await queue.take(100.0) is not None
        assert await queue.take_due(100) == []
        waits.append(time.perf_counter() - began)
    assert sorted(waits)[10] < 0.25
    assert await queue.count() == 100_020
    await queue._server.flushdb()


async def test_a_server_that_was_killed_still_knows_what_was_queued(server: RedisServer, open_redis: Open) -> None:
    queue = open_redis()
    for number in range(20):
        await queue.add(f"{number}", "ann", 99)
    ticket = await queue.take(100.0)
    await asyncio.sleep(1.2)  # the server writes to the disk every second
    server.kill()
    with pytest.raises(QueueError, match="does not answer"):
        await queue.take(1.0)
    server.start()
    assert ticket is not None
    assert await queue.renew(ticket, 100.0)
    assert await take_all(queue) == [f"{number}" for number in range(1, 20)]


async def test_a_server_that_is_frozen_is_an_error_within_seconds(server: RedisServer, open_redis: Open) -> None:
    queue = open_redis()
    await queue.add("a", "ann", 9)
    server.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        with pytest.raises(QueueError):
            await queue.take(1.0)
        assert time.monotonic() - began < 12
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert (await take_within(queue, 5)).name == "a"


async def test_while_the_queue_is_away_what_runs_goes_on_and_what_is_new_is_refused(
    server: RedisServer, tmp_path: Path
) -> None:
    store = str(tmp_path / "store")
    async with stage(store=store, queue=server.url, lease_s=1.0) as on:
        on.generator.release = asyncio.Event()
        running = (await create(on)).story.story_id
        waiting = (await create(on, seed=8)).story.story_id
        await on.generator.called.wait()
        server.kill()
        await asyncio.sleep(2.0)  # twice its lease
        on.generator.release.set()
        told = (await watch(on, running))[-1]
        assert (told.state, told.attempt) == (pb.STORY_STATE_SUCCEEDED, 1)
        code, reason, said = await expect_refusal(on.stub.CreateStory(upload(SONG, seed=9)))
        assert (code, reason) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
        assert said == "the queue of stories does not answer; try again in 5 s"
        assert len((await on.stub.ListStories(pb.ListStoriesRequest())).stories) == 2
        assert (await create(on)).existed
        server.start()
        assert (await watch(on, waiting))[-1].state == pb.STORY_STATE_SUCCEEDED
        assert not (await create(on, seed=9)).existed


async def test_a_queue_that_lost_everything_is_filled_again(server: RedisServer, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    async with stage(store=store, queue=server.url, lease_s=1.0, stories_running=0) as on:
        made = (await create(on)).story.story_id
        queue = on.servicer.stories.queue
        assert isinstance(queue, RedisQueue)
        while not await queue.is_filled():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        await queue._server.flushdb()
    async with stage(store=store, queue=server.url, lease_s=1.0) as on:
        assert (await watch(on, made))[-1].state == pb.STORY_STATE_SUCCEEDED
