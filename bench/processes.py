"""One service as a process of its own, for as long as a measurement needs it."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deepsing.local.process import ServiceProcess, wait_until_serving
from deepsing.local.services import find_free_ports

__all__ = ["RunningService", "run_service", "cpu_s", "resident_bytes", "run_unless_ended"]

START_S = 120.0
GRACE_S = 5.0


@dataclass(frozen=True)
class RunningService:
    """A service that serves: where, and as which process."""

    target: str
    pid: int

    def peak_bytes(self) -> int:
        """Most memory that the process has held resident since it began."""
        return _status_bytes(self.pid, "VmHWM:")


def resident_bytes(pid: int) -> int:
    """Memory that a process holds resident now."""
    return _status_bytes(pid, "VmRSS:")


def _status_bytes(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) * 1024


def cpu_s(pid: int) -> float:
    """Processor time that a process has used, in steps of a clock tick (10 ms)."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def run_service(name: str, **settings: str) -> AsyncIterator[RunningService]:
    """Starts a service on a free port of loopback, waits until it serves, and stops it afterwards."""
    port = find_free_ports({name: 0})[name]
    own = {"DEEPSING_SERVER_HOST": "127.0.0.1", "DEEPSING_SERVER_PORT": str(port)}
    with TemporaryDirectory(prefix="deepsing-bench-") as folder:
        process = await ServiceProcess.start(name, Path(folder) / "log", own | settings)
        try:
            await run_unless_ended(wait_until_serving(f"127.0.0.1:{port}", START_S), process.ended)
            yield RunningService(f"127.0.0.1:{port}", process.pid)
        finally:
            await process.stop(GRACE_S)


async def run_unless_ended(work: Coroutine[Any, Any, None], ended: asyncio.Future[int]) -> None:
    """Does `work`; raises RuntimeError if the process ends before it is done."""
    task = asyncio.ensure_future(work)
    either: list[asyncio.Future[Any]] = [task, ended]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RuntimeError(f"the service ended with status {ended.result()} before it served")
        await task
    finally:
        task.cancel()
