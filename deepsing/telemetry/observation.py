"""Metrics and traces of one service; off unless a port for metrics, BentoML or OTEL_* variables ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from deepsing.telemetry.calls import MetricsInterceptor
from deepsing.telemetry.metrics import Gauge, enable, is_enabled
from deepsing.telemetry.tracing import start_tracing

if TYPE_CHECKING:
    from deepsing.telemetry.page import MetricsPage

__all__ = ["ServiceTelemetry"]


class ServiceTelemetry:
    """Metrics and traces of one service.

    Args:
        service: its name.
        grpc_name: as in the contract.
        metrics: whether a port will be opened for metrics; under BentoML they are on already.
    """

    def __init__(self, service: str, grpc_name: str, *, metrics: bool) -> None:
        if metrics:
            enable()
        traced = start_tracing(service)
        self.interceptors: list[grpc.aio.ServerInterceptor] = []  # outside all others
        if traced or is_enabled():
            self.interceptors.append(MetricsInterceptor(grpc_name))
        self._service = service
        self._serving = Gauge("deepsing_serving", "1 while calls are accepted, else 0.", {"service": (service,)})
        self._page: MetricsPage | None = None

    def listen(self, host: str, port: int) -> int:
        """Serves the metrics over HTTP; returns the bound port. Raises RuntimeError if it cannot be bound."""
        from deepsing.telemetry.page import MetricsPage

        try:
            self._page = MetricsPage(host, port)
        except OSError as error:
            raise RuntimeError(f"the metrics port {port} cannot be bound ({error.strerror})") from None
        return self._page.port

    def set_serving(self, now: bool) -> None:
        """Sets whether calls are accepted."""
        self._serving.set(int(now), self._service)

    def close(self) -> None:
        """Closes the port of metrics, if there is one; blocks for up to half a second."""
        if self._page is not None:
            self._page.close()
            self._page = None
