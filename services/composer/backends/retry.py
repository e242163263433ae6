"""When a call to a service behind is made again, and when nobody asks that service any more."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

import grpc

from deepsing.rpc.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ServiceError,
    Unavailable,
    parse_error_info,
)
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.metrics import DEPENDENCY_FAILURES, DEPENDENCY_RETRIES

__all__ = ["Retry", "CircuitBreaker"]

RETRYABLE_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,  # by the other side: a server that is stopped cuts its last calls off so
}
BROKEN_CODES = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}  # without a reason they come from a proxy or a connection
REFUSAL_CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
RETRY_AFTER_S = 5.0


class CircuitBreaker:
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
        self._last_success_s = -math.inf  # when a call last succeeded
        self._next_try: float | None = None  # None while it is closed

    def admit(self) -> None:
        """Lets a call through; raises Unavailable DEPENDENCY_UNAVAILABLE while it is open."""
        if self._next_try is None:
            return
        if self._clock() < self._next_try:
            raise self.refusal()
        self._next_try = self._clock() + RETRY_AFTER_S

    def record_success(self) -> None:
        """The service answered."""
        self._last_success_s, self._next_try = self._clock(), None

    def should_give_up(self, since: float) -> bool:
        """Whether a call that has had no answer since then is to be given up; opens where others have none either."""
        now = self._clock()
        if now - max(since, self._last_success_s) > self.patience_s:
            self._next_try = now + RETRY_AFTER_S
        return self._next_try is not None or now - since > self.patience_s

    def now(self) -> float:
        """Seconds on its clock."""
        return self._clock()

    def refusal(self) -> Unavailable:
        """What callers hear."""
        message = f"{self.service} does not answer; try again in {RETRY_AFTER_S:g} s"
        reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
        return Unavailable(message, reason=reason, retry_after_s=RETRY_AFTER_S, service=self.service)


class Retry:
    """One call, however often it is made: decides after each failure whether to wait or what to tell the caller."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._since, self._pause_s = breaker.now(), FIRST_PAUSE_S

    def begin(self) -> None:
        """Before each attempt; raises Unavailable where the service is not worth asking."""
        self._breaker.admit()

    def record_success(self) -> None:
        """The service answered: patience starts anew."""
        self._breaker.record_success()
        self._since, self._pause_s = self._breaker.now(), FIRST_PAUSE_S

    async def wait_or_raise(self, error: grpc.aio.AioRpcError) -> None:
        """Waits, or raises what the caller is to see."""
        if error.code() not in REFUSAL_CODES:
            DEPENDENCY_FAILURES.add(1, self._breaker.service, error.code().name)
        if not _is_retryable(error):
            raise _convert_error(error, self._breaker.service) from error
        await self.wait(error)

    async def wait_after_mismatch(self) -> None:
        """Waits after an answer of a replica with other models; raises Unavailable where none has the right ones."""
        self._breaker.record_success()
        await self.wait()

    async def wait(self, error: Exception | None = None) -> None:
        """Waits before the next attempt; raises Unavailable where patience is over."""
        if self._breaker.should_give_up(self._since):
            raise self._breaker.refusal() from error
        DEPENDENCY_RETRIES.add(1, self._breaker.service)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)


def _is_retryable(error: grpc.aio.AioRpcError) -> bool:
    """Whether another attempt may succeed: the service is away or busy, or this replica has another model."""
    reason = parse_error_info(error)[0]
    return (
        error.code() in RETRYABLE_CODES or reason == "MODEL_MISMATCH" or (error.code() in BROKEN_CODES and not reason)
    )


def _convert_error(error: grpc.aio.AioRpcError, service: str) -> ServiceError:
    """A refusal of a service behind as the composer's own; anything but a refusal is that service's failure."""
    name, metadata = parse_error_info(error)
    kinds = {
        grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
        grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    }
    if error.code() in kinds and name:
        reason = reasons.ErrorReason.Value(f"ERROR_REASON_{name}")
        field, value = metadata.get("field", ""), metadata.get("value", "")
        return kinds[error.code()](error.details() or name, reason=reason, field=field, value=value)
    message = f"{service} failed ({error.code().name}); try again in {RETRY_AFTER_S:g} s"
    reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    return Unavailable(message, reason=reason, retry_after_s=RETRY_AFTER_S, service=service)
