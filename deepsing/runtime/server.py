"""A service's process: an asyncio gRPC server with health, reflection, limits, and an orderly start and end."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH_NAME
from grpc_reflection.v1alpha import reflection

from deepsing.rpc.workarounds import LateHandlers
from deepsing.runtime.artifacts import ArtifactError
from deepsing.runtime.files import find_connection_limit, raise_file_limit
from deepsing.runtime.guard import Guard
from deepsing.runtime.health import HealthServicer
from deepsing.runtime.heap import collect_periodically, share_arenas
from deepsing.runtime.settings import (
    SERVER_PREFIX,
    ServerSettings,
    SettingsError,
    check_environment,
    settings_from_environment,
)
from deepsing.runtime.supervision import find_failing, supervise
from deepsing.telemetry.logs import configure_logs
from deepsing.telemetry.observation import ServiceTelemetry

__all__ = ["run", "GrpcServer", "ServerSecurity", "Service"]

SETTLE_S = 0.2  # for connections to close by themselves
CLOSE_S = 5.0  # for the servicer to close, after the last call
PING_TIMEOUT_MS = 20_000  # for a client's answer; grpcio 1.85 obeys this option only, whose default is a minute
EX_CONFIG = 78  # as in sysexits.h: something was set wrongly
SLOWEST_BYTES_PER_S = 2**16  # at which a large message may come: half a megabit
LOOKAHEAD_BYTES = 256 * 2**10  # of each stream, that may arrive before they are read
METADATA_BYTES = 8192  # of one call; with its default limits gRPC rejects metadata at random between 8 and 16 KiB
BACKGROUND, REPORT_EVERY_S = "background", 1.0  # name of a service in health, for the tasks beside the calls
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerSecurity:
    """Authentication and TLS of a server: none by default."""

    interceptors: tuple[grpc.aio.ServerInterceptor, ...] = ()
    credentials: grpc.ServerCredentials | None = None  # of TLS; None is plaintext


@dataclass(frozen=True)
class Service:
    """What the runtime needs to know about a service."""

    name: str  # for logs and messages
    grpc_name: str  # as in the contract, e.g. "deepsing.v1.GeneratorService"
    register: Callable[[Any, Any], None]  # the generated add_…Servicer_to_server
    open: Callable[[], Awaitable[Any]]  # loads and warms up; returns the servicer, which may have `async close()`
    largest_request_bytes: int = 0  # if the contract allows larger messages than the settings
    protect: Callable[[str], ServerSecurity] = lambda name: (
        ServerSecurity()
    )  # by the name above; may raise SettingsError
    large_methods: tuple[str, ...] = ()  # names of those that take messages so large in one piece


class GrpcServer:
    """Serves one service with health, reflection, limits and the guard.

    Args:
        service: what to serve.
        settings: None reads them from the environment.
        interceptors: run inside the guard, in this order; they may refuse a call by raising a `ServiceError`.
    """

    def __init__(
        self,
        service: Service,
        settings: ServerSettings | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        self.settings = settings or settings_from_environment(ServerSettings, SERVER_PREFIX)
        self.port = self.health_port = self.metrics_port = 0  # known once it listens
        self._service = service
        security = service.protect(service.name)
        self._credentials = security.credentials
        largest_bytes = max(self.settings.max_message_bytes, service.largest_request_bytes)
        large_s = self.settings.first_message_s + service.largest_request_bytes / SLOWEST_BYTES_PER_S
        slow = dict.fromkeys((f"/{service.grpc_name}/{method}" for method in service.large_methods), large_s)
        self._guard = Guard(service.name, self.settings, slow, largest_bytes)
        self._telemetry = ServiceTelemetry(
            service.name, service.grpc_name, metrics=self.settings.metrics_port is not None
        )
        self._server = grpc.aio.server(
            interceptors=[*self._telemetry.interceptors, self._guard, *security.interceptors, *interceptors],
            options=build_options(self.settings, largest_bytes),
        )
        self._health, self._health_server = HealthServicer(), None
        if self.settings.health_port is not None:
            self._health_server = grpc.aio.server(
                interceptors=[self._guard], options=build_options(self.settings, self.settings.max_message_bytes)
            )
        self._servicer: Any = None
        self._watching: asyncio.Task[None] | None = None  # of the background tasks

    @property
    def address(self) -> str:
        """Host and bound port, as a channel's target."""
        return self._format_address(self.port)

    @property
    def serving(self) -> bool:
        """Whether calls are accepted: the service is open and does not drain."""
        return self._guard.ready

    async def start(self) -> int:
        """Listens, opens the service and reports SERVING; returns the bound port."""
        await self.listen()
        await self.open()
        return self.port

    async def listen(self) -> int:
        """Answers health checks with NOT_SERVING and calls with UNAVAILABLE; returns the bound port.

        Raises:
            RuntimeError: the address cannot be bound.
        """
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (self._service.grpc_name, HEALTH_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self.port = self.settings.port
        server, tls = self._server, self._credentials
        self.port = server.add_secure_port(self.address, tls) if tls else server.add_insecure_port(self.address)
        if self._health_server is not None:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._health_server)
            self.health_port = self._health_server.add_insecure_port(
                self._format_address(self.settings.health_port or 0)
            )
            await self._health_server.start()
        if self.settings.metrics_port is not None:
            self.metrics_port = self._telemetry.listen(self.settings.host, self.settings.metrics_port)
        await self._server.start()
        return self.port

    async def open(self) -> None:
        """Opens the service and reports SERVING. Raises what the service's `open` raises."""
        self._servicer = await self._service.open()
        self._service.register(self._servicer, LateHandlers(self._server))
        self._guard.ready = True
        self._telemetry.set_serving(True)
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        self._watching = asyncio.create_task(self._report_background_tasks())

    async def _report_background_tasks(self) -> None:
        """Keeps the health of BACKGROUND: NOT_SERVING while a background task is failing."""
        while True:
            statuses = health_pb2.HealthCheckResponse
            await self._health.set(BACKGROUND, statuses.NOT_SERVING if find_failing() else statuses.SERVING)
            await asyncio.sleep(REPORT_EVERY_S)

    async def drain(self, grace_s: float | None = None) -> None:
        """Reports NOT_SERVING at once, accepts no new calls, lets running ones end, then closes the service.

        Args:
            grace_s: after this time running calls are cancelled; None is that of the settings.
        """
        self._telemetry.set_serving(False)
        if self._watching is not None:
            self._watching.cancel()
        await self._health.enter_graceful_shutdown()
        stopping = asyncio.create_task(self._server.stop(self.settings.grace_s if grace_s is None else grace_s))
        idle = asyncio.create_task(self._guard.wait_idle())
        await asyncio.wait({stopping, idle}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({stopping}, timeout=SETTLE_S)
        await self._server.stop(None)  # only Watch calls of the health service are left, which would never end
        await stopping
        if self._health_server is not None:
            await self._health_server.stop(None)
        idle.cancel()
        self._guard.ready = False
        servicer, self._servicer = self._servicer, None
        try:
            if hasattr(servicer, "close"):
                async with asyncio.timeout(CLOSE_S):
                    await servicer.close()
        except TimeoutError:
            logger.error("%s did not close within %g s", self._service.name, CLOSE_S)
        await asyncio.to_thread(self._telemetry.close)

    def _format_address(self, port: int) -> str:
        host = self.settings.host
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", self._service.grpc_name):
            await self._health.set(name, status)


def run(service: Service) -> int:
    """Serves until SIGTERM or SIGINT, then drains; a second signal exits at once. Call it in the main thread.

    Returns:
        The process's exit code: 0 after a drain, 1 if the service could not start, 78 if that is due to a setting.
    """
    share_arenas()
    raise_file_limit()
    configure_logs(service.name)
    try:
        check_environment()
        settings = settings_from_environment(ServerSettings, SERVER_PREFIX)
        configure_logs(service.name, settings.log_level)
        return asyncio.run(_serve(service, settings))
    except (SettingsError, ArtifactError) as error:
        logger.error("cannot start: %s", error)
        return EX_CONFIG


async def _serve(service: Service, settings: ServerSettings) -> int:
    stop = _stop_on_signals()
    server = GrpcServer(service, settings)
    began = time.monotonic()
    try:
        await server.listen()
    except RuntimeError as error:
        logger.error("cannot listen on %s: %s; choose another DEEPSING_SERVER_PORT", server.address, error)
        return 1
    address = {"fields": {"address": server.address, "metrics_port": server.metrics_port or None}}
    logger.info("listening on %s, loading", server.address, extra=address)
    stopping, opening = asyncio.create_task(stop.wait()), asyncio.create_task(server.open())
    await asyncio.wait({stopping, opening}, return_when=asyncio.FIRST_COMPLETED)
    if opening.done() and (failure := opening.exception()):
        await server.drain(0)
        if isinstance(failure, (SettingsError, ArtifactError)):
            raise failure
        logger.error("cannot open %s: %s", service.name, failure, exc_info=failure)
        return 1
    if opening.done():
        logger.info("serving on %s after %.2f s", server.address, time.monotonic() - began, extra=address)
        collecting = asyncio.create_task(supervise("collection of garbage", collect_periodically))
        await stopping
        collecting.cancel()
    opening.cancel()
    logger.info("draining, up to %g s", settings.grace_s)
    await server.drain()
    logger.info("stopped")
    return 0


def _stop_on_signals() -> asyncio.Event:
    """Returns an event that the first SIGTERM or SIGINT sets; PID 1 in a container has no default handlers."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        loop.call_soon_threadsafe(stop.set)  # also wakes the loop

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop


def build_options(settings: ServerSettings, largest_bytes: int) -> list[tuple[str, int]]:
    """Options of a server, each of which grpcio knows: it ignores others without a word.

    Args:
        settings: of the process.
        largest_bytes: of the largest message that it takes.
    """
    return [
        ("grpc.so_reuseport", int(settings.reuse_port)),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        ("grpc.max_send_message_length", -1),  # responses are limited by what a request may ask for
        ("grpc.max_receive_message_length", largest_bytes),
        ("grpc.http2.bdp_probe", 0),  # it would let each stream send megabytes that nobody has asked for yet
        ("grpc.http2.lookahead_bytes", LOOKAHEAD_BYTES),
        ("grpc.keepalive_time_ms", int(settings.keepalive_s * 1e3)),
        ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_concurrent_streams", settings.max_rpcs_per_connection),
        ("grpc.max_allowed_incoming_connections", find_connection_limit(settings.max_connections)),
        ("grpc.max_connection_idle_ms", int(settings.idle_connection_s * 1e3)),
        ("grpc.server_handshake_timeout_ms", int(settings.handshake_s * 1e3)),
        ("grpc.http2.min_ping_interval_without_data_ms", int(settings.min_ping_interval_s * 1e3)),
    ]
