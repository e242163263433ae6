"""Runs the four services as child processes on this machine."""

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

from deepsing.access.outgoing import ChannelSettings
from deepsing.client.errors import Unavailable
from deepsing.local.failures import USAGE, CommandError
from deepsing.local.models_folder import engine_settings
from deepsing.local.process import ServiceProcess, wait_until_serving
from deepsing.runtime.leftovers import claim, take_abandoned

__all__ = ["LocalServices", "find_free_ports", "NAMES"]

Result = TypeVar("Result")

HOST = "127.0.0.1"
NAMES = ("composer", "audio_sentiment", "translator", "generator")
START_LIMIT_S = 120.0  # a cold disk and a busy machine
STOP_LIMIT_S = 5.0  # after it they are killed
ACCESS_PREFIXES = ("DEEPSING_ACCESS_", "DEEPSING_CHANNEL_", "DEEPSING_SERVER_TLS_", "DEEPSING_SERVER_HEALTH_")
LOGS_PREFIX = "deepsing-logs-"
STORE = "DEEPSING_COMPOSER_STORE"
MAX_RESTARTS = 3  # of one service within RESTART_SPAN_S
RESTART_SPAN_S = 60.0
FIRST_RESTART_PAUSE_S = 0.5  # doubles with each end within RESTART_SPAN_S
EXIT_NOTICE_S = 1.0  # a broken connection is noticed a moment before the end of the process behind it


class LocalServices:
    """Services as child processes; use it as an asynchronous context.

    Entering it starts them and returns when all are ready; leaving it stops them in any case.

    Args:
        ports: the port of each service wanted, by name; each listens on loopback only.
        logs: folder to keep their logs in; None keeps none.
        engine: an engine to load in addition to the built-in one; see `models_folder.engine_settings`.
        grace_s: how long a service may take to finish its calls when it is stopped.
        metrics: the port of each service's metrics, by name; services that are not named have none.
        guarded: True: access control and TLS are as the environment says, and the composer stores stories. False:
            everybody on this machine may call, and no stories are stored.
    """

    def __init__(
        self,
        ports: Mapping[str, int],
        *,
        logs: Path | None = None,
        engine: str = "",
        grace_s: float = STOP_LIMIT_S,
        metrics: Mapping[str, int] | None = None,
        guarded: bool = False,
    ) -> None:
        self._targets = {name: f"{HOST}:{port}" for name, port in ports.items()}
        self._ports = ports
        self._logs = logs
        self._engine = engine
        self._grace_s = grace_s
        self._metrics = dict(metrics or {})
        self._guarded = guarded
        self._running: dict[str, ServiceProcess] = {}
        self._folder = Path()
        self._lock: int | None = None  # on the folder, where it is ours alone

    @property
    def targets(self) -> Mapping[str, str]:
        """The "host:port" of each service, by name."""
        return self._targets

    @property
    def metrics(self) -> Mapping[str, str]:
        """The "host:port" of each service's metrics, by name."""
        return {name: f"{HOST}:{port}" for name, port in self._metrics.items()}

    @property
    def pids(self) -> Mapping[str, int]:
        """The process id of each running service, by name."""
        return {name: service.pid for name, service in self._running.items()}

    async def __aenter__(self) -> Self:
        if self._logs is not None:
            self._logs.mkdir(parents=True, exist_ok=True)
        self._folder = self._logs or self._make_folder()
        try:
            for name in self._ports:
                (self._folder / f"{name}.log").write_bytes(b"")
                await self._start(name)
            await self.watch(self._wait_until_all_serve())
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def watch(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Does `work` as long as all services run, and returns its result.

        Raises:
            CommandError: a service ended; the work has been cancelled.
        """
        task = asyncio.ensure_future(work)
        exits = [service.ended for service in self._running.values()]
        try:
            await asyncio.wait([task, *exits], return_when=asyncio.FIRST_COMPLETED)
            if task.done() and isinstance(task.exception(), Unavailable):
                await asyncio.wait(exits, timeout=EXIT_NOTICE_S, return_when=asyncio.FIRST_COMPLETED)
            messages = [service.exit_message() for service in self._running.values() if service.ended.done()]
            if messages and not (task.done() and task.exception() is None):
                raise CommandError(f"{' · '.join(messages)}")
            return await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def keep_running(self, report: Callable[[str], None]) -> NoReturn:
        """Starts each service again when it ends, until this is cancelled.

        Args:
            report: takes a sentence when a service has ended and when it serves again.

        Raises:
            CommandError: a service ended more than MAX_RESTARTS times within RESTART_SPAN_S, or did not become ready.
        """
        tasks = [asyncio.create_task(self._keep_service_running(name, report)) for name in self._running]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            raise next(error for task in tasks if task.done() and (error := task.exception()))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_service_running(self, name: str, report: Callable[[str], None]) -> None:
        deaths_s: list[float] = []
        while True:
            service = self._running[name]
            await asyncio.wait([service.ended])
            now_s = time.monotonic()
            deaths_s = [*(death_s for death_s in deaths_s if now_s - death_s < RESTART_SPAN_S), now_s]
            if len(deaths_s) > MAX_RESTARTS:
                raise CommandError(
                    f"{service.exit_message()}; it has ended {len(deaths_s)} times within {RESTART_SPAN_S:g} s and is "
                    "not started again"
                )
            pause_s = FIRST_RESTART_PAUSE_S * 2 ** (len(deaths_s) - 1)
            report(f"{service.exit_message()}; starting it again in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            if await self._restart(name):
                report(f"{name} is serving again, as process {self._running[name].pid}")

    async def _restart(self, name: str) -> bool:
        """Starts a service once more; returns whether it serves, False where it has ended instead."""
        service = await self._start(name)
        serving = asyncio.ensure_future(self._wait_until_serving(name))
        try:
            await asyncio.wait([serving, service.ended], return_when=asyncio.FIRST_COMPLETED)
            if service.ended.done():
                return False
            await serving
            return True
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _start(self, name: str) -> ServiceProcess:
        log = self._folder / f"{name}.log"
        self._running[name] = service = await ServiceProcess.start(name, log, self._settings(name))
        return service

    def _settings(self, name: str) -> dict[str, str | None]:
        settings: dict[str, str | None] = {}
        if not self._guarded:
            settings = {variable: None for variable in os.environ if variable.startswith(ACCESS_PREFIXES)}
        settings |= {"DEEPSING_SERVER_HOST": HOST, "DEEPSING_SERVER_PORT": str(self._ports[name])}
        settings["DEEPSING_SERVER_METRICS_PORT"] = str(self._metrics[name]) if name in self._metrics else None
        if name in ("generator", "translator"):
            settings |= engine_settings(self._engine)
        if name == "composer":
            backends = {other: target for other, target in self._targets.items() if other != name}
            settings |= {f"DEEPSING_COMPOSER_{other.upper()}_TARGET": target for other, target in backends.items()}
            settings[STORE] = (os.environ.get(STORE) or str(_stories_folder())) if self._guarded else None
        return settings

    async def _wait_until_all_serve(self) -> None:
        for name in self._targets:  # all are starting at the same time; this only waits
            await self._wait_until_serving(name)

    async def _wait_until_serving(self, name: str) -> None:
        settings = ChannelSettings.from_environment() if self._guarded else None
        await wait_until_serving(self._targets[name], START_LIMIT_S, settings)

    def _make_folder(self) -> Path:
        """Makes a folder for logs that nobody keeps, and removes those that killed processes left behind."""
        new = Path(tempfile.mkdtemp(prefix="deepsing-"))
        claimed = new.with_name(f"{LOGS_PREFIX}{new.name}")
        self._lock = claim(new, claimed)
        for abandoned in take_abandoned(new.parent, f"{LOGS_PREFIX}*"):
            with contextlib.suppress(OSError):  # it holds other things as well, or is somebody else's
                for name in NAMES:
                    (abandoned / f"{name}.log").unlink(missing_ok=True)
                abandoned.rmdir()
        return new if self._lock is None else claimed

    async def _stop(self) -> None:
        """Stops the composer before the services that its last calls need; kills all if this is cancelled."""
        services = list(self._running.values())
        try:
            for names in (("composer",), NAMES[1:]):
                await asyncio.gather(*(service.stop(self._grace_s) for service in services if service.name in names))
        finally:
            for service in services:
                service.kill()
            if self._logs is None:
                shutil.rmtree(self._folder, ignore_errors=True)
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


def _stories_folder() -> Path:
    """Where a guarded composer stores stories unless the environment says otherwise."""
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "deepsing" / "stories"


def find_free_ports(wanted: Mapping[str, int], option: str = "--port") -> dict[str, int]:
    """Chooses a free port for each name that wants 0, and checks the others.

    Args:
        wanted: port by name.
        option: what the error names as the way to choose other ports.

    Raises:
        CommandError: a port wanted is taken, or beyond the last one.
    """
    sockets: dict[str, socket.socket] = {}
    try:
        for name, port in wanted.items():
            sockets[name] = socket.socket()
            sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sockets[name].bind((HOST, port))
            except OverflowError:
                raise CommandError(f"port {port} for {name} is none; choose up to 65535 with {option}", USAGE) from None
            except OSError:
                raise CommandError(
                    f"port {port} for {name} is taken; stop what listens there, or choose others with {option}", USAGE
                ) from None
        return {name: taken.getsockname()[1] for name, taken in sockets.items()}
    finally:
        for taken in sockets.values():
            taken.close()
