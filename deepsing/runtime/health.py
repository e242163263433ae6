"""gRPC's health service, for callers who show no key: what they ask for is bounded, and takes nothing from others."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1 import health, health_pb2

from deepsing.runtime.admission import Shares
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["HealthServicer"]

WATCHES, WATCHES_EACH = 512, 16  # Watch calls that may be open: in all, and of one connection
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthServicer(health.aio.HealthServicer):  # type: ignore[misc]  # grpc has no types
    """The package's servicer, with another Watch: bounded, and without a memory of names that nobody serves.

    Check has no bound: it is answered at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed = asyncio.Condition()
        self._watches = Shares(WATCHES, WATCHES_EACH, "health watches", reasons.ERROR_REASON_CALLS_EXHAUSTED)

    async def set(self, service: str, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        """Sets the status of a service."""
        await super().set(service, status)
        async with self._changed:
            self._changed.notify_all()

    async def enter_graceful_shutdown(self) -> None:
        """Sets the status of all services to NOT_SERVING for good."""
        await super().enter_graceful_shutdown()
        async with self._changed:
            self._changed.notify_all()

    async def Watch(  # noqa: N802 - gRPC's name
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """See grpc.health.v1. Raises ResourceExhausted for one Watch too many."""
        name, last = request.service, None
        with self._watches.hold(context.peer()):
            while True:
                async with self._changed:
                    while (status := self._server_status.get(name, UNKNOWN)) == last:
                        await self._changed.wait()
                last = status
                yield health_pb2.HealthCheckResponse(status=status)
