"""Many sessions at once: stories that a core makes in real time, time to the first frame, lag of live frames."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np

from bench.measurement import Measurement
from bench.songs import BUNDLED, RATE_HZ, chords
from deepsing.client import Client, StoryOptions
from deepsing.local.services import NAMES, LocalServices, find_free_ports
from deepsing.runtime.cores import available_cores
from deepsing.v1.composer_pb2 import Frame
from deepsing.v1.sentiment_pb2 import SAMPLE_FORMAT_S16LE, AudioFormat

__all__ = ["measure_sessions"]

FPS, SIZE = 12, "256x256"
CROWDS = (1, 4, 16)
BLOCK = RATE_HZ // 10  # samples of 100 ms, as a microphone would hand them over
LIVE = AudioFormat(sample_format=SAMPLE_FORMAT_S16LE, sample_rate_hz=RATE_HZ, channel_count=1)


@dataclass
class _SessionLog:
    """What one session saw: seconds from its start to its first frame, and of each frame behind its sound."""

    began_s: float = field(default_factory=time.perf_counter)
    first_s: float = 0.0
    lags_s: list[float] = field(default_factory=list)

    def take(self, frame: Frame) -> None:
        elapsed_s = time.perf_counter() - self.began_s
        self.first_s = self.first_s or elapsed_s
        self.lags_s.append(elapsed_s - frame.pts_us / 1e6)


async def measure_sessions(quick: bool) -> list[Measurement]:
    """Makes stories of the same part of a song in 1, 4 and 16 sessions at once, offline and live."""
    part_s = 5.0 if quick else 20.0
    found: list[Measurement] = []
    async with (
        LocalServices(find_free_ports(dict.fromkeys(NAMES, 0))) as services,
        Client(services.targets["composer"], retries=0) as client,
    ):
        await _run_sessions(client, 1, 2.0, live=False)
        for count in CROWDS:
            began_s = time.perf_counter()
            seen = await _run_sessions(client, count, part_s, live=False)
            rate = count * part_s / (time.perf_counter() - began_s)
            name = f"{count} offline sessions"
            found.append(Measurement(f"{name}: at real time, a core", "sessions", [rate / available_cores()]))
            found += _percentiles(f"{name}: first frame", [one.first_s for one in seen])
        for count in CROWDS:
            seen = await _run_sessions(client, count, part_s, live=True)
            found += _percentiles(f"{count} live sessions: first frame", [one.first_s for one in seen])
            found += _percentiles(f"{count} live sessions: lag", [lag for one in seen for lag in one.lags_s])
    return found


def _percentiles(name: str, values_s: Sequence[float]) -> list[Measurement]:
    """Half, and 99 of a hundred, stay below."""
    half, most = np.percentile(values_s, (50, 99))
    return [
        Measurement(f"{name}, {share} of {len(values_s)}", "s", [float(value)])
        for share, value in (("p50", half), ("p99", most))
    ]


async def _run_sessions(client: Client, count: int, part_s: float, *, live: bool) -> list[_SessionLog]:
    run = _run_live if live else _run_offline
    return list(await asyncio.gather(*(run(client, part_s, seed) for seed in range(count))))


async def _run_offline(client: Client, part_s: float, seed: int) -> _SessionLog:
    seen = _SessionLog()
    options = StoryOptions(fps=FPS, size=SIZE, duration_s=part_s, seed=seed)
    async with aclosing(client.compose(BUNDLED, options)) as events:
        async for event in events:
            if isinstance(event, Frame):
                seen.take(event)
    return seen


async def _run_live(client: Client, part_s: float, seed: int) -> _SessionLog:
    """Sound goes up in real time from the moment that the composer asks for it."""
    samples, seen = chords(part_s)[0], _SessionLog()

    async def microphone() -> AsyncIterator[bytes]:
        seen.began_s = time.perf_counter()
        for end in range(BLOCK, samples.size + 1, BLOCK):
            await asyncio.sleep(max(0.0, seen.began_s + end / RATE_HZ - time.perf_counter()))
            yield samples[end - BLOCK : end].tobytes()

    options = StoryOptions(fps=FPS, size=SIZE, live=True, audio_format=LIVE, seed=seed)
    async with aclosing(client.compose(microphone(), options)) as events:
        async for event in events:
            if isinstance(event, Frame):
                seen.take(event)
    return seen
