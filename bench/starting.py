"""How long each service takes from `python -m services.<name>` until its health is SERVING."""

import asyncio
import os
import signal
import sys
import time

from bench.measurement import Measurement
from bench.processes import run_unless_ended
from deepsing.local.process import wait_until_serving
from deepsing.local.services import NAMES, find_free_ports

__all__ = ["measure_starting"]

LIMIT_S = 60.0
LOOK_S = 0.005


async def measure_starting(quick: bool) -> list[Measurement]:
    """Starts every service a few times; the first start of all is not counted, it reads the disk."""
    found = []
    for name in sorted(NAMES):
        seconds = [await _measure_start_s(name) for _ in range(2 if quick else 6)]
        found.append(Measurement(f"cold start of {name}", "s", seconds[1:]))
    return found


async def _measure_start_s(name: str) -> float:
    port = find_free_ports({name: 0})[name]
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"services.{name}"),
        env={**os.environ, "DEEPSING_SERVER_HOST": "127.0.0.1", "DEEPSING_SERVER_PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    ended = asyncio.ensure_future(process.wait())
    try:
        await run_unless_ended(_wait_until_serving(port), ended)
        return time.perf_counter() - began
    finally:
        if not ended.done():
            process.send_signal(signal.SIGTERM)
        await ended


async def _wait_until_serving(port: int) -> None:
    """Tries plain connections at short intervals first, because a refused gRPC channel waits a second to try again."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(LOOK_S)
        else:
            writer.close()
            await wait_until_serving(f"127.0.0.1:{port}", LIMIT_S)
            return
