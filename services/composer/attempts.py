"""When a call to a service behind is made again, and when nobody asks that service any more."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import grpc

from deepsing.runtime.errors import InvalidInput, NotReady, ServiceError, TooLate, Unmet, error_of
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.meters import PEER_FAILURES, PEER_RETRIES

__all__ = ["Attempts", "Breaker"]

AGAIN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,  # by the other side: a server that is stopped cuts its last calls off so
}
BROKEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}  # without a reason they come from a proxy or a connection
REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
RETRY_AFTER_S = 5.0


class Breaker:
    """Whether a service is worth asking; shared by all sessions.

    It opens where a call was given up while nobody had an answer for as long. While it is open callers are refused
    at once, but for one every RETRY_AFTER_S, who tries; an answer closes it.

    Args:
        service: its name, for messages.
        patience_s: how long a service may stay away.
        clock: seconds.
    """

    def __init__(self, service: str, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.service, self.patience_s, self._clock = service, patience_s, clock
        self._answered = -math.inf  # when a call last succeeded
        self._next_try: float | None = None  # None while it is closed

    def admit(self) -> None:
        """Lets a call through; raises NotReady DEPENDENCY_UNAVAILABLE while it is open."""
        if self._next_try is None:
            return
        if self._clock() < self._next_try:
            raise self.refusal()
        self._next_try = self._clock() + RETRY_AFTER_S

    def succeed(self) -> None:
        """The service answered."""
        self._answered, self._next_try = self._clock(), None

    def gives_up(self, since: float) -> bool:
        """Whether a call that has had no answer since then is to be given up; opens where others have none either."""
        now = self._clock()
        if now - max(since, self._answered) > self.patience_s:
            self._next_try = now + RETRY_AFTER_S
        return self._next_try is not None or now - since > self.patience_s

    def now(self) -> float:
        """Seconds on its clock."""
        return self._clock()

    def refusal(self) -> NotReady:
        """What callers hear."""
        message = f"{self.service} does not answer; try again in {RETRY_AFTER_S:g} s"
        reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
        return NotReady(message, reason=reason, retry_after_s=RETRY_AFTER_S, service=self.service)


class Attempts:
    """One call, however often it is made: decides after each failure whether to wait or what to tell the caller."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._since, self._pause_s = breaker.now(), FIRST_PAUSE_S

    def begin(self) -> None:
        """Before each attempt; raises NotReady where the service is not worth asking."""
        self._breaker.admit()

    def succeed(self) -> None:
        """The service answered: patience starts anew."""
        self._breaker.succeed()
        self._since, self._pause_s = self._breaker.now(), FIRST_PAUSE_S

    async def after(self, error: grpc.aio.AioRpcError) -> None:
        """Waits, or raises what the caller is to see."""
        if error.code() not in REFUSALS:
            PEER_FAILURES.add(1, self._breaker.service, error.code().name)
        if not _may_pass(error):
            raise _passed_on(error, self._breaker.service) from error
        await self.again(error)

    async def after_unfit(self) -> None:
        """Waits after an answer of a replica with other models; raises NotReady where none has the right ones."""
        self._breaker.succeed()
        await self.again()

    async def again(self, error: Exception | None = None) -> None:
        """Waits before the next attempt; raises NotReady where patience is over."""
        if self._breaker.gives_up(self._since):
            raise self._breaker.refusal() from error
        PEER_RETRIES.add(1, self._breaker.service)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)


def _may_pass(error: grpc.aio.AioRpcError) -> bool:
    """Whether another attempt may succeed: the service is away or busy, or this replica has another model."""
    reason = error_of(error)[0]
    return error.code() in AGAIN or reason == "MODEL_MISMATCH" or (error.code() in BROKEN and not reason)


def _passed_on(error: grpc.aio.AioRpcError, service: str) -> ServiceError:
    """A refusal of a service behind as the composer's own; anything but a refusal is that service's failure."""
    name, metadata = error_of(error)
    kinds = {
        grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
        grpc.StatusCode.FAILED_PRECONDITION: Unmet,
        grpc.StatusCode.DEADLINE_EXCEEDED: TooLate,
    }
    if error.code() in kinds and name:
        reason = reasons.ErrorReason.Value(f"ERROR_REASON_{name}")
        field, value = metadata.get("field", ""), metadata.get("value", "")
        return kinds[error.code()](error.details() or name, reason=reason, field=field, value=value)
    message = f"{service} failed ({error.code().name}); try again in {RETRY_AFTER_S:g} s"
    reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    return NotReady(message, reason=reason, retry_after_s=RETRY_AFTER_S, service=service)
