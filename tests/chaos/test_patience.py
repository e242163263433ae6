"""What counts as a hang: a session without progress, or endless breaks, but not a few breaks in a row."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from deepsing.client import StoryOptions
from deepsing.client import resumable_story as telling
from deepsing.rpc.errors import Unavailable
from deepsing.v1 import error_reason_pb2 as reasons
from tests.chaos import stories
from tests.unit.client.fake_composer import (
    Call,
    FakeComposer,
    Step,
    end_event,
    frames,
    heartbeat,
    serve_composer,
    start_event,
)

REST: list[Step] = [*frames(0, 24), end_event()]
AWAY = Unavailable("away", reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE, retry_after_s=0.01)


@pytest.fixture(autouse=True)
def shorten_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "Session", stories.CountedSession)
    monkeypatch.setattr(stories, "HANG_S", 1.0)


def wait(seconds: float) -> Callable[[Call], Awaitable[None]]:
    return lambda call: asyncio.sleep(seconds)


async def run_story(tmp_path: Path, *scripts: list[Step]) -> stories.StoryResult:
    song = tmp_path / "song.mp3"
    song.write_bytes(b"song")
    async with serve_composer(FakeComposer(*scripts)) as target:
        return await stories.render(target, song, StoryOptions())


async def test_breaks_in_a_row_are_no_hang(tmp_path: Path) -> None:
    broken: list[Step] = [start_event(), wait(0.4), AWAY]
    assert (await run_story(tmp_path, broken, broken, broken, [start_event(), *REST])).seqs == [*range(24)]


async def test_a_session_that_only_beats_hangs(tmp_path: Path) -> None:
    beating: list[Step] = [step for _ in range(40) for step in (heartbeat(0, 24), wait(0.05))]
    with pytest.raises(TimeoutError):
        await run_story(tmp_path, [start_event(), *beating, *REST])


async def test_breaks_without_end_starve_a_story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stories, "HANG_S", 60.0)
    monkeypatch.setattr(stories, "STARVE_S", 1.0)
    with pytest.raises(TimeoutError):
        await run_story(tmp_path, [start_event(), wait(0.25), AWAY])
