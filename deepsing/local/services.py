"""The four services as processes on this machine."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from deepsing.access.outgoing import ChannelSettings
from deepsing.client.errors import Unavailable
from deepsing.local.failures import USAGE, CommandError
from deepsing.local.health import wait_until_serving
from deepsing.local.models_folder import engine_settings
from deepsing.local.process import ServiceProcess

__all__ = ["LocalServices", "find_free_ports", "NAMES"]

Result = TypeVar("Result")

HOST = "127.0.0.1"
NAMES = ("composer", "audio_sentiment", "translator", "generator")
START_LIMIT_S = 120.0  # a cold disk and a busy machine
STOP_LIMIT_S = 5.0  # then they are killed
ACCESS_PREFIXES = ("DEEPSING_ACCESS_", "DEEPSING_CHANNEL_", "DEEPSING_SERVER_TLS_", "DEEPSING_SERVER_HEALTH_")
STORE = "DEEPSING_COMPOSER_STORE"
EXIT_NOTICE_S = 1.0  # a broken connection is known a moment before the death of the process behind it


class LocalServices:
    """Services as child processes; use it as an asynchronous context, which ends them in any case.

    Args:
        ports: by the service's name, those wanted; each listens on loopback.
        logs: folder to keep their logs in; None keeps none.
        engine: one that is to be there beside the built-in one; see `models_folder.engine_settings`.
        grace_s: what a service may take to finish its calls when it is stopped.
        metrics: by the service's name, the port of its metrics; those that are not named have none.
        guarded: they ask for keys and speak TLS as the environment says, and stories are stored; else whoever is on
            this machine may call, and none are.
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
        self._running: list[ServiceProcess] = []
        self._folder = Path()

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
        return {service.name: service.pid for service in self._running}

    async def __aenter__(self) -> Self:
        if self._logs is not None:
            self._logs.mkdir(parents=True, exist_ok=True)
        self._folder = self._logs or Path(tempfile.mkdtemp(prefix="deepsing-"))
        try:
            for name in self._ports:
                log = self._folder / f"{name}.log"
                self._running.append(await ServiceProcess.start(name, log, self._settings(name)))
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
        """Does `work` while all services live.

        Raises:
            CommandError: a service ended; the work has been cancelled.
        """
        task = asyncio.ensure_future(work)
        exits = [service.ended for service in self._running]
        try:
            await asyncio.wait([task, *exits], return_when=asyncio.FIRST_COMPLETED)
            if task.done() and isinstance(task.exception(), Unavailable):
                await asyncio.wait(exits, timeout=EXIT_NOTICE_S, return_when=asyncio.FIRST_COMPLETED)
            messages = [service.exit_message() for service in self._running if service.ended.done()]
            if messages and not (task.done() and task.exception() is None):
                raise CommandError(f"{' · '.join(messages)}")
            return await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

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
        for target in self._targets.values():  # they start side by side; this only waits
            await wait_until_serving(
                target, START_LIMIT_S, ChannelSettings.from_environment() if self._guarded else None
            )

    async def _stop(self) -> None:
        """Stops the composer before those that its last calls need."""
        try:
            for name in (("composer",), NAMES[1:]):
                await asyncio.gather(*(s.stop(self._grace_s) for s in self._running if s.name in name))
        finally:
            if self._logs is None:
                shutil.rmtree(self._folder, ignore_errors=True)


def _stories_folder() -> Path:
    """Where stories are stored that come to the composer of `deepsing up`, unless the environment says otherwise."""
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "deepsing" / "stories"


def find_free_ports(wanted: Mapping[str, int], option: str = "--port") -> dict[str, int]:
    """Chooses a free port for each name that wants 0, and checks the others.

    Args:
        wanted: by name.
        option: of the command, by which others can be chosen.

    Raises:
        CommandError: a port wanted is taken.
    """
    sockets: dict[str, socket.socket] = {}
    try:
        for name, port in wanted.items():
            sockets[name] = socket.socket()
            sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sockets[name].bind((HOST, port))
            except OSError:
                raise CommandError(
                    f"port {port} for {name} is taken; stop what listens there, or choose others with {option}", USAGE
                ) from None
        return {name: taken.getsockname()[1] for name, taken in sockets.items()}
    finally:
        for taken in sockets.values():
            taken.close()
