"""How fast a whole story is made, and how soon live audio has its first frame."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measurement import Measurement
from bench.songs import BUNDLED, RATE_HZ, chords
from deepsing.client import Client, StoryOptions
from deepsing.local.services import NAMES, LocalServices, find_free_ports
from deepsing.v1.composer_pb2 import Frame
from deepsing.v1.sentiment_pb2 import SAMPLE_FORMAT_S16LE, AudioFormat

__all__ = ["measure_stories", "measure_first_frames"]

SQUARE = "512x512"
KINDS = {  # size and style, and what is aimed at
    (SQUARE, "none"): ">= 3",
    (SQUARE, "auto"): ">= 1.1",
    ("1280x720", "none"): ">= 2",
    ("1920x1080", "none"): ">= 1.2",
}
PART_S = 10.0
LIVE_SHARE_S = 0.5


async def measure_stories(quick: bool) -> list[Measurement]:
    """Renders the bundled song in several sizes, and in style, in turn: 24 frames a second, all four files."""
    speeds: dict[tuple[str, str], list[float]] = {kind: [] for kind in KINDS}
    part_s = PART_S if quick else None
    with TemporaryDirectory(prefix="deepsing-bench-") as folder:
        async with (
            LocalServices(find_free_ports(dict.fromkeys(NAMES, 0))) as services,
            Client(services.targets["composer"]) as client,
        ):
            for _ in range(1 if quick else 3):
                for (size, style), found in speeds.items():
                    options = StoryOptions(fps=24, size=size, style=style, duration_s=part_s)
                    story = await client.render(BUNDLED, Path(folder) / "story.mp4", options)
                    found.append(story.realtime_factor)
    return [
        Measurement(f"whole story, {size}, style {style}", "x real time", found, KINDS[size, style])
        for (size, style), found in speeds.items()
    ]


async def measure_first_frames(quick: bool) -> list[Measurement]:
    """Sends half a second of live PCM and waits for the first frame, warm."""
    async with (
        LocalServices(find_free_ports(dict.fromkeys(NAMES, 0))) as services,
        Client(services.targets["composer"], retries=0) as client,
    ):
        delays = [await _measure_first_frame_s(client) for _ in range(3 if quick else 11)]
    return [Measurement("first frame after 0.5 s of live audio", "s", delays[1:], "<= 0.6")]


async def _measure_first_frame_s(client: Client) -> float:
    """Seconds from the moment the half second is handed over until its first frame is here."""
    sent: list[float] = []
    samples = chords(LIVE_SHARE_S)[0]

    async def microphone() -> AsyncIterator[bytes]:
        sent.append(time.perf_counter())
        yield samples.tobytes()
        await asyncio.Event().wait()  # the song goes on, but no more of it arrives

    options = StoryOptions(
        size=SQUARE,
        live=True,
        audio_format=AudioFormat(sample_format=SAMPLE_FORMAT_S16LE, sample_rate_hz=RATE_HZ, channel_count=1),
    )
    async with aclosing(client.compose(microphone(), options)) as events:
        async for event in events:
            if isinstance(event, Frame):
                return time.perf_counter() - sent[0]
    raise RuntimeError("the story ended without a frame")
