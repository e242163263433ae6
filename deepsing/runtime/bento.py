"""Runs a service under `bentoml serve`: gRPC from our own server, HTTP health and metrics from BentoML's."""

import asyncio
import logging
import signal
from types import FrameType
from typing import ClassVar

import bentoml

from deepsing.runtime.heap import share_arenas
from deepsing.runtime.server import GrpcServer, Service
from deepsing.runtime.settings import check_environment
from deepsing.telemetry.logs import configure_logs
from deepsing.telemetry.metrics import enable

__all__ = ["BentoHost"]

logger = logging.getLogger(__name__)


class BentoHost:
    """Base of a service's `@bentoml.service` class, whose attribute `service` says what it serves."""

    service: ClassVar[Service]

    def __init__(self) -> None:
        share_arenas()
        enable()  # BentoML serves our metrics together with its own
        self.server = GrpcServer(self.service)
        self._draining: asyncio.Task[None] | None = None

    async def __is_ready__(self) -> bool:
        """Whether gRPC calls are accepted now."""
        return self.server.serving and self._draining is None

    @bentoml.on_startup
    async def start(self) -> None:
        """Starts gRPC on DEEPSING_SERVER_PORT; from here on SIGTERM drains it at once.

        BentoML drains HTTP first and calls its hooks only after that, so the signal handler is chained here.
        """
        configure_logs(self.service.name, self.server.settings.log_level)
        check_environment()
        logging.getLogger("uvicorn.access").setLevel(logging.WARNING)  # BentoML logs HTTP itself
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)

            def on_signal(number: int, frame: FrameType | None, before: object = before) -> None:
                loop.call_soon_threadsafe(self._drain)
                if callable(before):
                    before(number, frame)

            signal.signal(number, on_signal)
        await self.server.start()
        logger.info("gRPC serves %s on %s", self.service.grpc_name, self.server.address)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Waits until the calls that are running have ended, at most `grace_s` of the settings."""
        await self._drain()

    def _drain(self) -> asyncio.Task[None]:
        self._draining = self._draining or asyncio.create_task(self.server.drain())
        return self._draining
