"""A composer is killed between two segments of a story in S3; another one finishes it with identical files."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import av
import pytest

from deepsing.client import Client, StoryOptions
from deepsing.local.process import wait_until_serving
from deepsing.local.services import NAMES, find_free_ports
from deepsing.v1 import composer_pb2 as pb
from tests.seaweed import SeaweedFs, start_seaweed

SONG = Path(__file__).parents[3] / "examples" / "peer_gynt.mp3"
FPS, FRAMES, KILL_AT = 12, 240, 72
OPTIONS = StoryOptions(fps=FPS, size=(64, 64), seed=5, duration_s=20.0)


@contextmanager
def process(name: str, port: int, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A service on a port of loopback, killed at the end."""
    environment = {**os.environ, **settings, "DEEPSING_SERVER_PORT": str(port)}
    words = [sys.executable, "-m", f"services.{name}"]
    with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL) as running:
        try:
            yield running
        finally:
            running.kill()


def composer_settings(ports: dict[str, int], server: SeaweedFs, prefix: str, folder: Path) -> dict[str, str]:
    """Settings of a composer."""
    places = {f"DEEPSING_COMPOSER_{name.upper()}_TARGET": f"127.0.0.1:{port}" for name, port in ports.items()}
    kept = {"STORE": f"s3://{server.bucket}/{prefix}", "STORE_ENDPOINT": server.endpoint}
    quick = {"LEASE_S": "2", "SEGMENT_S": "2", "QUEUE": f"{folder / prefix}.sqlite"}
    return (
        places | server.environment() | {f"DEEPSING_COMPOSER_{key}": value for key, value in {**kept, **quick}.items()}
    )


async def render_story(target: str, folder: Path, kill: subprocess.Popen[bytes] | None, other: str) -> pb.Story:
    """Has the story made, kills a composer at frame KILL_AT, and then calls the other one; saves the story's files."""
    async with Client(target) as client:
        made = await client.create_story(SONG, OPTIONS)
        async for story in client.watch_story(made.story_id):
            if kill is not None and story.frames_done >= KILL_AT:
                kill.send_signal(signal.SIGKILL)
                break
    async with Client(other) as client:
        stories = [story async for story in client.watch_story(made.story_id)]
        assert kill is None or all(story.frames_done >= KILL_AT for story in stories)
        story = stories[-1]
        assert story.state == pb.STORY_STATE_SUCCEEDED, story.error
        await client.fetch_story(story.story_id, folder)
    return story


@pytest.mark.slow
async def test_a_killed_composers_story_is_finished_by_another_to_the_same_bytes(tmp_path: Path) -> None:
    behind = find_free_ports(dict.fromkeys(NAMES[1:], 0))
    composers = find_free_ports(dict.fromkeys(("undisturbed", "killed", "successor"), 0))
    targets = {name: f"127.0.0.1:{port}" for name, port in composers.items()}
    with ExitStack() as stack:
        server = stack.enter_context(start_seaweed(tmp_path))
        for folder in ("whole", "finished"):
            (tmp_path / folder).mkdir()
        for name, port in behind.items():
            stack.enter_context(process(name, port, {}))
        running = {
            name: stack.enter_context(process("composer", port, composer_settings(behind, server, prefix, tmp_path)))
            for (name, port), prefix in zip(composers.items(), ("one", "two", "two"), strict=True)
            if name != "successor"
        }
        for port in (*behind.values(), composers["undisturbed"], composers["killed"]):
            await wait_until_serving(f"127.0.0.1:{port}", 60)
        whole = await render_story(targets["undisturbed"], tmp_path / "whole", None, targets["undisturbed"])
        successor = process("composer", composers["successor"], composer_settings(behind, server, "two", tmp_path))
        stack.enter_context(successor)
        await wait_until_serving(targets["successor"], 60)
        finished = await render_story(targets["killed"], tmp_path / "finished", running["killed"], targets["successor"])
        assert running["killed"].wait(10) == -signal.SIGKILL
    assert (whole.attempt, finished.attempt) == (1, 2)
    assert whole.story_id == finished.story_id
    assert whole.frames_total == finished.frames_total == FRAMES
    manifests = [json.loads((tmp_path / name / "story.json").read_text()) for name in ("whole", "finished")]
    assert manifests[0]["frames_digest"] == manifests[1]["frames_digest"]
    assert manifests[0] == manifests[1]
    assert [file.digest for file in whole.files] == [file.digest for file in finished.files]
    with av.open(str(tmp_path / "finished" / "story.mp4")) as video:
        times = [round(frame.time * FPS) for frame in video.decode(video=0)]
    assert times == list(range(FRAMES))
