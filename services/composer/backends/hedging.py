"""Hedged calls: one that takes far longer than recent ones is made again; the first answer counts."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from services.composer.metrics import DEPENDENCY_HEDGES

__all__ = ["Hedge"]

LEAST_S, FACTOR = 1.0, 2.0  # hedged after FACTOR times the longest recent latency, but never before LEAST_S
# While no latency is known. Where there is no other replica, as on one machine, a second call is the same work done
# twice: a generator that styles takes three seconds for its first pictures if others use the processor, too.
UNKNOWN_S = 8.0
DECAY = 0.9  # factor on the longest recent latency with each answer
BACKOFF = 2.0  # factor on the wait with each further call: their count grows with the logarithm of the time


class Hedge:
    """Makes hedged calls to one service and measures their latency. The calls must be pure.

    Args:
        service: its name, for the metric.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._longest_s: dict[type, float] = {}  # recent latency, by the request's type

    def patience_s(self, kind: type) -> float:
        """How long to wait for an answer to a request of that type before making a second call."""
        longest_s = self._longest_s.get(kind)
        return UNKNOWN_S if longest_s is None else max(LEAST_S, FACTOR * longest_s)

    async def race(self, ask: Callable[[], Any], kind: type) -> Any:
        """Makes a call, and further ones while it is slow; returns the first answer and cancels the other calls.

        Args:
            ask: starts a unary call.
            kind: type of its request.

        Raises:
            grpc.aio.AioRpcError: all calls so far have failed.
        """
        calls: list[Any] = []
        waiting: set[asyncio.Task[tuple[Any, float]]] = set()
        wait_s = self.patience_s(kind)
        try:
            while True:
                calls.append(ask())
                waiting.add(asyncio.create_task(_time_call(calls[-1])))
                ends = monotonic() + wait_s
                while (remaining_s := ends - monotonic()) > 0:
                    done, waiting = await asyncio.wait(
                        waiting, timeout=remaining_s, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        if task.exception() is None:
                            return self._record_latency(kind, *task.result())
                    if not waiting:
                        await done.pop()
                DEPENDENCY_HEDGES.add(1, self._service)
                wait_s *= BACKOFF
        finally:
            for task in waiting:
                task.cancel()
            for call in calls:
                call.cancel()  # cancelling a task before its request is sent would leave the call running

    def _record_latency(self, kind: type, answer: Any, took_s: float) -> Any:
        self._longest_s[kind] = max(took_s, DECAY * self._longest_s.get(kind, 0.0))
        return answer


async def _time_call(call: Awaitable[Any]) -> tuple[Any, float]:
    """Awaits a call; returns its answer and its latency in seconds."""
    began = monotonic()
    return await call, monotonic() - began
