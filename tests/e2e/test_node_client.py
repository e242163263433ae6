"""The Node example as a person runs it, against a composer that plays a script and notes what it is sent."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.unit.client.fake_composer import (
    FakeComposer,
    end_event,
    frames,
    serve_composer,
    start_event,
    wait_for_hangup,
    wait_for_song_end,
)

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "node"
SONG = bytes(range(256)) * 700  # 179,200 bytes: three pieces
LIMIT_S = 30.0

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (EXAMPLE / "node_modules" / "@grpc").is_dir(),
    reason="needs node, and `npm ci` in examples/node",
)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.mp3"
    path.write_bytes(SONG)
    return path


async def run_example(*arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of the example."""
    node = await asyncio.create_subprocess_exec(
        "node",
        "compose.js",
        *map(str, arguments),
        cwd=EXAMPLE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(node.communicate(), LIMIT_S)
    finally:
        if node.returncode is None:
            node.kill()
    return node.returncode or 0, out.decode(), err.decode()


async def test_it_tells_a_story_to_its_end_and_grants_what_it_takes(song: Path) -> None:
    composer = FakeComposer([start_event(), wait_for_song_end, *frames(0, 30), end_event(30)])
    async with serve_composer(composer) as target:
        status, out, err = await run_example(song, "--target", target, "--credit", 8, "--fps", 24)
    call = composer.calls[0]
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "ended: 30 of 30 frames, 30 bytes, digest f4a3"
    assert call.audio == SONG
    assert (call.config.initial_credit, call.config.frame_rate.numerator) == (8, 24)
    grants = [request.credit for request in call.requests if request.credit]
    assert grants[:6] == [4] * 6
    assert 22 <= sum(grants) <= 30


async def test_it_cancels_once_it_has_seen_enough(song: Path) -> None:
    composer = FakeComposer([start_event(), *frames(0, 30), wait_for_hangup])
    async with serve_composer(composer) as target:
        status, out, _ = await run_example(song, "--target", target, "--frames", 5, "--credit", 4)
        await asyncio.wait_for(composer.calls[0].closed.wait(), LIMIT_S)
    assert (status, out.splitlines()[-1]) == (0, "cancelled after 5 frames, 5 bytes")
    assert composer.calls[0].frames_sent <= 8


async def test_it_gives_up_at_its_deadline_and_the_composer_is_told(song: Path) -> None:
    composer = FakeComposer([start_event(), wait_for_song_end, *frames(0, 3), wait_for_hangup])
    async with serve_composer(composer) as target:
        status, out, err = await run_example(song, "--target", target, "--deadline", 2)
        await asyncio.wait_for(composer.calls[0].closed.wait(), LIMIT_S)
    assert (status, out.splitlines()[0]) == (1, "started: 256x256, story 5702")
    assert err.startswith("DEADLINE_EXCEEDED")


async def test_a_song_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    status, out, err = await run_example(tmp_path / "gone.mp3")
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "no such file" in err
