"""Waits until a service is ready for calls."""

import asyncio
from typing import Any

import grpc

from deepsing.access.outgoing import ChannelSettings, open_channel
from deepsing.local.failures import CommandError, missing_extra

__all__ = ["wait_until_serving"]

RETRY_S = 0.1


async def wait_until_serving(target: str, limit_s: float, settings: ChannelSettings | None = None) -> None:
    """Waits until a service's health is SERVING.

    Args:
        target: its "host:port"; it need not listen yet.
        limit_s: how long to wait.
        settings: whether and how to use TLS; None is plaintext.

    Raises:
        CommandError: it is not ready after `limit_s`, or the health protocol is not installed here.
    """
    try:
        from grpc_health.v1 import health_pb2, health_pb2_grpc  # of the extra "serve", which a bare client lacks
    except ModuleNotFoundError:
        raise missing_extra("services need packages that are not installed here", "serve", "story") from None
    request, serving = health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse.SERVING
    try:
        async with (
            open_channel(target, tls=None if settings is None else settings.to_tls()) as channel,
            asyncio.timeout(limit_s),
        ):
            await _watch(health_pb2_grpc.HealthStub(channel), request, serving)
    except TimeoutError:
        message = f"{target} is not ready after {limit_s:.0f} s; its log (--logs DIR keeps it) may say why"
        raise CommandError(message) from None


async def _watch(stub: Any, request: object, serving: int) -> None:
    while True:
        try:
            async for answer in stub.Watch(request, wait_for_ready=True):
                if answer.status == serving:
                    return
        except grpc.aio.AioRpcError:  # a port may listen before its server can answer
            pass
        await asyncio.sleep(RETRY_S)
