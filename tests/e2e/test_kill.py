"""A service that is killed while it works, and comes back: the story is as if nothing had been."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deepsing.client import Client, StoryOptions
from deepsing.local.process import wait_until_serving
from deepsing.local.services import NAMES, find_free_ports
from deepsing.v1.composer_pb2 import Frame
from tests.songs import make_song

OPTIONS = StoryOptions(fps=60, size=(64, 64), images="raw", seed=5)


@contextmanager
def process(name: str, ports: dict[str, int]) -> Iterator[subprocess.Popen[bytes]]:
    """A service on its port of loopback, killed at the end."""
    called = {peer: port for peer, port in ports.items() if peer != "composer"}
    places = {f"DEEPSING_COMPOSER_{peer.upper()}_TARGET": f"127.0.0.1:{port}" for peer, port in called.items()}
    settings = {**os.environ, **places, "DEEPSING_SERVER_PORT": str(ports[name])}
    words = [sys.executable, "-m", f"services.{name}"]
    with subprocess.Popen(words, env=settings, stderr=subprocess.DEVNULL) as running:
        try:
            yield running
        finally:
            running.kill()


async def frames(target: str, song: Path, disturb: int | None = None) -> list[bytes]:
    """All pictures of a story; after the tenth, the process with the number `disturb` is killed."""
    images = []
    async with Client(target, credit_window=12) as client:
        async for event in client.compose(song, OPTIONS):
            if isinstance(event, Frame):
                images.append(event.image)
                if len(images) == 10 and disturb is not None:
                    os.kill(disturb, signal.SIGKILL)
    return images


@pytest.mark.parametrize("victim", ["generator", "translator", "audio_sentiment", "composer"])
async def test_no_frame_is_lost_doubled_or_changed_when_a_service_is_killed(tmp_path: Path, victim: str) -> None:
    song, ports = make_song(tmp_path, "stereo"), find_free_ports(dict.fromkeys(NAMES, 0))
    target = f"127.0.0.1:{ports['composer']}"
    with ExitStack() as stack:
        running = {name: stack.enter_context(process(name, ports)) for name in NAMES}
        for port in ports.values():
            await wait_until_serving(f"127.0.0.1:{port}", 60)
        undisturbed = await frames(target, song)
        pictures = await _kill_and_restart(stack, running[victim], victim, ports, target, song)
    assert len(undisturbed) == 120
    assert pictures == undisturbed


async def _kill_and_restart(
    stack: ExitStack, running: subprocess.Popen[bytes], victim: str, ports: dict[str, int], target: str, song: Path
) -> list[bytes]:
    """Returns the pictures of a story during which the victim is killed and, as soon as it is gone, started again."""
    composing = asyncio.create_task(frames(target, song, running.pid))
    await asyncio.to_thread(running.wait)
    stack.enter_context(process(victim, ports))
    return await composing
