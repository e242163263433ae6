"""Several replicas of each service as processes on loopback, which can be killed and come back."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from deepsing.local.process import wait_until_serving
from deepsing.local.services import NAMES, find_free_ports

__all__ = ["Fleet", "Replica"]

START_LIMIT_S = 120.0  # on a busy machine
SETTINGS = {"DEEPSING_SERVER_GRACE_S": "1", "DEEPSING_SERVER_HOST": "127.0.0.1"}


class Replica:
    """One process of a service, always on the same port.

    Attributes:
        serving: whether it has been seen to take calls since it was last started, and was not disturbed since.
    """

    def __init__(self, service: str, port: int, settings: Mapping[str, str], log: Path) -> None:
        self.service, self.port, self.log = service, port, log
        self._settings = {**os.environ, **SETTINGS, **settings, "DEEPSING_SERVER_PORT": str(port)}
        self._process: asyncio.subprocess.Process | None = None
        self.serving = False

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran last."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Starts the process and waits until it takes calls."""
        with self.log.open("ab") as log:
            words = ("-m", f"services.{self.service}")
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *words, env=self._settings, stdout=log, stderr=log
            )
        await wait_until_serving(f"127.0.0.1:{self.port}", START_LIMIT_S)
        self.serving = True

    def signal(self, number: "signal.Signals") -> None:
        """Sends a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    async def end(self, number: "signal.Signals") -> None:
        """Ends the process by a signal and waits for its end."""
        self.serving = False
        if self._process is not None and self._process.returncode is None:
            self.signal(number)
            await self._process.wait()

    async def restart(self, number: "signal.Signals") -> None:
        """Ends the process by a signal and starts it again."""
        await self.end(number)
        await self.start()

    async def stop_for(self, seconds: float) -> None:
        """Freezes the process for a while: it neither answers nor goes away."""
        self.serving = False
        self.signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self.signal(signal.SIGCONT)
        self.serving = True


class Fleet:
    """All four services, `count` replicas of each; use it as an asynchronous context.

    Args:
        folder: takes their logs, and their temporary files.
        count: replicas of each service.
        settings: environment variables of all of them.
        targets: of services that composers reach otherwise than directly, by name.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        settings: Mapping[str, str] | None = None,
        targets: Mapping[str, str] | None = None,
    ) -> None:
        ports = find_free_ports({f"{name} {place}": 0 for name in NAMES for place in range(count)})
        behind = {name: "ipv4:" + ",".join(f"127.0.0.1:{ports[f'{name} {n}']}" for n in range(count)) for name in NAMES}
        behind |= targets or {}
        called = [name for name in NAMES if name != "composer"]
        common = {f"DEEPSING_COMPOSER_{name.upper()}_TARGET": behind[name] for name in called}
        common |= {"TMPDIR": str(folder), **(settings or {})}
        self.replicas = [
            Replica(name, ports[f"{name} {place}"], common, folder / f"{name}-{place}.log")
            for name in NAMES
            for place in range(count)
        ]
        self._stack = AsyncExitStack()

    def replicas_of(self, service: str) -> list[Replica]:
        """The replicas of a service."""
        return [replica for replica in self.replicas if replica.service == service]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for replica in self.replicas:
                stack.push_async_callback(replica.end, signal.SIGKILL)
            await asyncio.gather(*(replica.start() for replica in self.replicas))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()
