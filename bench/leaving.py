"""How soon the generator is idle after a caller of the composer has cancelled."""

import asyncio
import time
from contextlib import aclosing

from bench.measurement import Measurement
from bench.processes import cpu_s
from bench.songs import BUNDLED
from deepsing.client import Client, StoryOptions
from deepsing.local.services import NAMES, LocalServices, find_free_ports
from deepsing.v1.composer_pb2 import Frame

__all__ = ["measure_leaving"]

LOOK_S, QUIET_S = 0.01, 0.5  # between readings of the generator's processor time; unchanged for so long is idle
FRAMES = 40  # seen before the caller leaves


async def measure_leaving(quick: bool) -> list[Measurement]:
    """Cancels stories under way and watches the generator's processor time."""
    async with (
        LocalServices(find_free_ports(dict.fromkeys(NAMES, 0))) as services,
        Client(services.targets["composer"], retries=0) as client,
    ):
        delays = [await _measure_idle_s(client, services.pids["generator"]) for _ in range(3 if quick else 10)]
    return [Measurement("from cancel to an idle generator", "s", delays, "<= 1")]


async def _measure_idle_s(client: Client, generator: int) -> float:
    frames = 0
    async with aclosing(client.compose(BUNDLED, StoryOptions(fps=24, size="256x256"))) as events:
        async for event in events:
            frames += isinstance(event, Frame)
            if frames == FRAMES:
                break
        left_s = time.perf_counter()
    used_s, moved_s = cpu_s(generator), left_s
    while time.perf_counter() - moved_s < QUIET_S:
        await asyncio.sleep(LOOK_S)
        if (now_s := cpu_s(generator)) > used_s:
            used_s, moved_s = now_s, time.perf_counter()
    return moved_s - left_s
