"""Live stories by the four real services: every frame leaves in time or is named, whatever the sound comes in."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from bench.live import FORMATS, iter_encoded, iter_raw, raw_format
from bench.watching import watch_session
from deepsing.client import Client, StoryOptions
from deepsing.local.services import NAMES, LocalServices, find_free_ports

ROOT = Path(__file__).resolve().parents[2]
DEEPSING = Path(sys.executable).with_name("deepsing")
SONG = ROOT / "examples" / "peer_gynt.mp3"
SECONDS, FPS = 2.0, 6

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target() -> AsyncIterator[str]:
    async with LocalServices(find_free_ports(dict.fromkeys(NAMES, 0))) as services:
        yield services.targets["composer"]


@pytest.mark.parametrize("kind", ["PCM", *FORMATS])
async def test_every_frame_comes_or_is_named_in_its_place(target: str, kind: str) -> None:
    form, sound = (raw_format(), iter_raw(SECONDS)) if kind == "PCM" else (None, iter_encoded(kind, SECONDS))
    options = StoryOptions(fps=FPS, size=(64, 64), audio_format=form)
    async with Client(target) as client:
        seen = await watch_session(partial(client.live, options=options), sound)
    assert seen.misplaced == 0
    assert seen.next_seq == pytest.approx(SECONDS * FPS, abs=1)
    assert len(seen.lags_s) + seen.dropped == seen.next_seq
    assert min(seen.lags_s) > 0


async def test_the_command_plays_a_file_and_counts_each_frame_once(target: str) -> None:
    words = ("live", str(SONG), "--seconds", "3", "--fps", "8", "--size", "64x64", "--json", "--target", target)
    process = await asyncio.create_subprocess_exec(
        DEEPSING, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    lines = [json.loads(line) for line in out.splitlines()]
    assert (process.returncode, err) == (0, b"")
    assert lines[-1]["end"]
    assert lines[-1]["frames"] + lines[-1]["dropped"] == 24
    assert lines[-1]["duration_s"] == 3.0
    assert [line["frames"] for line in lines[:-1]] == sorted(line["frames"] for line in lines[:-1])
