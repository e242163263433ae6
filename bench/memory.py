"""How much of the composer's memory a session takes: one that waits for audio, and one that makes a story."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bench.measurement import Measurement
from bench.processes import RunningService, resident_bytes, run_service
from bench.songs import BUNDLED
from deepsing.rpc.channel import open_channel
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1.composer_pb2_grpc import ComposerServiceStub
from deepsing.v1.sentiment_pb2 import Size

__all__ = ["measure_memory", "begin_session", "run_composer"]

KIB = 1024
IDLE, ACTIVE = 200, 8
PART_US = 10_000_000  # of the song that an active session makes a story of
CONFIG = pb.ComposeRequest(
    config=pb.StoryConfig(size=Size(width_px=256, height_px=256), initial_credit=24, duration_us=PART_US)
)


async def measure_memory(quick: bool) -> list[Measurement]:
    """Opens many sessions, keeps them, and closes them; a first round is not counted."""
    rounds = 2 if quick else 5
    async with (
        run_composer(DEEPSING_COMPOSER_MAX_SESSIONS=str(2 * IDLE)) as composer,
        open_channel(composer.target) as channel,
    ):
        stub, sizes = ComposerServiceStub(channel), {}
        for name, count, song in (("idle", IDLE, b""), ("active", ACTIVE, BUNDLED.read_bytes())):
            sizes[name] = [await _measure_session_kib(stub, composer.pid, count, song) for _ in range(rounds + 1)][1:]
    return [
        Measurement(f"composer's memory of an idle session, of {IDLE}", "KiB", sizes["idle"], "<= 300"),
        Measurement(f"composer's memory of an active session, of {ACTIVE}", "KiB", sizes["active"]),
    ]


@asynccontextmanager
async def run_composer(**settings: str) -> AsyncIterator[RunningService]:
    """Starts all four services; yields the composer, which has these settings and the others behind it."""
    async with (
        run_service("audio_sentiment") as audio,
        run_service("translator") as translator,
        run_service("generator") as generator,
        run_service(
            "composer",
            DEEPSING_COMPOSER_AUDIO_SENTIMENT_TARGET=audio.target,
            DEEPSING_COMPOSER_TRANSLATOR_TARGET=translator.target,
            DEEPSING_COMPOSER_GENERATOR_TARGET=generator.target,
            **settings,
        ) as composer,
    ):
        yield composer


async def _measure_session_kib(stub: ComposerServiceStub, pid: int, count: int, song: bytes) -> float:
    before = resident_bytes(pid)
    calls = [await begin_session(stub, song) for _ in range(count)]
    held = resident_bytes(pid)
    for call in calls:
        call.cancel()
    await asyncio.sleep(1.0)
    return (held - before) / count / KIB


async def begin_session(stub: ComposerServiceStub, song: bytes = b"") -> Any:
    """A session that has begun: its config was sent, and `song`, whose frames are read until credit is used up."""

    async def upload() -> AsyncIterator[pb.ComposeRequest]:
        yield CONFIG
        for first in range(0, len(song), 65_536):
            yield pb.ComposeRequest(audio_chunk=song[first : first + 65_536])
        if song:
            yield pb.ComposeRequest(end_of_audio=pb.EndOfAudio())
        await asyncio.Event().wait()

    call = stub.Compose(upload())
    frames = 0
    async for response in call:
        frames += response.HasField("frame")
        if (response.HasField("session_started") and not song) or frames == CONFIG.config.initial_credit:
            break
    return call
