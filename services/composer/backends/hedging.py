"""Calls that take far longer than any lately did are made again, by the next replica; the first answer counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from services.composer.metrics import DEPENDENCY_HEDGES

__all__ = ["Hedge"]

LEAST_S, FACTOR = 1.0, 2.0  # asked again after FACTOR times the longest answer of late, but never before LEAST_S
DECAY = 0.9  # what the longest of late is multiplied by with each answer
BACKOFF = 2.0  # what the wait is multiplied by with each call: their count grows with the logarithm of the time


class Hedge:
    """Makes the calls to one service, which must be pure, and knows how long its answers take.

    Args:
        service: its name, for the meter.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._longest_s: dict[type, float] = {}  # of late, by the request's type

    def patience_s(self, kind: type) -> float:
        """How long an answer to a request of that type is waited for before another replica is asked, too."""
        return max(LEAST_S, FACTOR * self._longest_s.get(kind, LEAST_S))

    async def race(self, ask: Callable[[], Any], kind: type) -> Any:
        """The first answer to as many calls as it takes; the others are cancelled.

        Args:
            ask: begins a unary call.
            kind: type of its request.

        Raises:
            grpc.aio.AioRpcError: of the last call, where all under way have failed.
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
                call.cancel()  # a task that is cancelled before its request is out would leave the call running

    def _record_latency(self, kind: type, answer: Any, took_s: float) -> Any:
        self._longest_s[kind] = max(took_s, DECAY * self._longest_s.get(kind, 0.0))
        return answer


async def _time_call(call: Awaitable[Any]) -> tuple[Any, float]:
    """An answer, and how many seconds it took."""
    began = monotonic()
    return await call, monotonic() - began
