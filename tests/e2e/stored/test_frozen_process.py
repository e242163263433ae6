"""A composer is frozen in the middle of a story; another one finishes it soon; the first one, back, changes nothing."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deepsing.client import Client, StoryOptions
from deepsing.local.process import wait_until_serving
from deepsing.local.services import NAMES, find_free_ports
from deepsing.v1 import composer_pb2 as pb
from tests.e2e.stored.test_successor_process import SONG, process
from tests.redis_server import start_redis

LEASE_S, MARGIN_S = 3.0, 5.0
OPTIONS = StoryOptions(fps=12, size=(64, 64), seed=5, duration_s=30.0)


@contextmanager
def queue_setting(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """The setting of a queue that both composers share, if any."""
    if kind == "local":
        yield {}
        return
    (folder / "redis").mkdir()
    with start_redis(folder / "redis") as server:
        yield {"QUEUE": server.url}


def list_files(folder: Path) -> dict[str, bytes]:
    """Record and results of all stories, without what an attempt left behind that nobody names."""
    found = [path for path in folder.rglob("*") if path.is_file() and ".queue" not in path.name]
    return {str(path): path.read_bytes() for path in found if "records" in path.parts or "2" in path.parts}


async def watch_until(client: Client, story_id: str, frames: int) -> pb.Story:
    async for story in client.watch_story(story_id):
        if story.frames_done >= frames:
            return story
    return story


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "server"])
async def test_a_frozen_composers_story_is_finished_by_another_and_told_once(tmp_path: Path, kind: str) -> None:
    behind = find_free_ports(dict.fromkeys(NAMES[1:], 0))
    ports = find_free_ports(dict.fromkeys(("frozen", "successor"), 0))
    store = tmp_path / "store"
    with ExitStack() as stack:
        settings = {f"DEEPSING_COMPOSER_{name.upper()}_TARGET": f"127.0.0.1:{port}" for name, port in behind.items()}
        own = {"STORE": str(store), "LEASE_S": str(LEASE_S), "SEGMENT_S": "1"}
        own |= stack.enter_context(queue_setting(kind, tmp_path))
        settings |= {f"DEEPSING_COMPOSER_{name}": value for name, value in own.items()}
        for name, port in behind.items():
            stack.enter_context(process(name, port, {}))
        frozen = stack.enter_context(process("composer", ports["frozen"], settings))
        for port in (*behind.values(), ports["frozen"]):
            await wait_until_serving(f"127.0.0.1:{port}", 60)
        async with Client(f"127.0.0.1:{ports['frozen']}") as client:
            story_id = (await client.create_story(SONG, OPTIONS)).story_id
            assert (await watch_until(client, story_id, 12)).attempt == 1
        stack.enter_context(process("composer", ports["successor"], settings))
        await wait_until_serving(f"127.0.0.1:{ports['successor']}", 60)
        os.kill(frozen.pid, signal.SIGSTOP)
        began = time.monotonic()
        async with Client(f"127.0.0.1:{ports['successor']}") as client:
            seen = [(story, time.monotonic() - began) async for story in client.watch_story(story_id)]
            taken_after_s = next(after for story, after in seen if story.attempt == 2)
            assert taken_after_s < LEASE_S + MARGIN_S
            assert (seen[-1][0].state, seen[-1][0].attempt) == (pb.STORY_STATE_SUCCEEDED, 2)
            before = list_files(store)
            assert len(before) == 5
            os.kill(frozen.pid, signal.SIGCONT)
            await asyncio.sleep(LEASE_S)
            assert (await client.get_story(story_id)).attempt == 2
            assert list_files(store) == before
