"""Decides when a failed call is retried, and when a circuit breaker refuses calls to a service."""

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
    grpc.StatusCode.CANCELLED,  # by the server: a stopping server ends its last calls with it
}
# Retried if they come without a reason: then they are from a proxy or a broken connection.
BROKEN_CODES = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
REFUSAL_CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # between attempts, doubled each time
RETRY_AFTER_S = 5.0  # between trial calls of an open breaker; also given to callers


class CircuitBreaker:
    """Refuses calls to a service that does not answer; shared by all sessions.

    It opens when a call has failed for `patience_s` and no other call has succeeded in that time. While it is open,
    calls are refused at once, except a trial call every RETRY_AFTER_S; a success closes it.

    Args:
        service: its name, for error messages.
        patience_s: how long a service may be unavailable.
        clock: monotonic, seconds.
    """

    def __init__(self, service: str, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.service, self._patience_s, self._clock = service, patience_s, clock
        self._last_success_s = -math.inf  # when a call last succeeded
        self._next_try: float | None = None  # None while it is closed

    def admit(self) -> None:
        """Called before each attempt. Raises Unavailable DEPENDENCY_UNAVAILABLE while it is open."""
        if self._next_try is None:
            return
        if self._clock() < self._next_try:
            raise self.refusal()
        self._next_try = self._clock() + RETRY_AFTER_S

    def record_success(self) -> None:
        """Closes the breaker: the service has answered."""
        self._last_success_s, self._next_try = self._clock(), None

    def should_stop_retrying(self, since: float) -> bool:
        """Whether to stop retrying a call that has failed since a time; opens if no other call has succeeded either."""
        now = self._clock()
        if now - max(since, self._last_success_s) > self._patience_s:
            self._next_try = now + RETRY_AFTER_S
        return self._next_try is not None or now - since > self._patience_s

    def now(self) -> float:
        """The time of its clock, seconds."""
        return self._clock()

    def refusal(self) -> Unavailable:
        """The error that callers get."""
        message = f"{self.service} does not answer; try again in {RETRY_AFTER_S:g} s"
        reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
        return Unavailable(message, reason=reason, retry_after_s=RETRY_AFTER_S, service=self.service)


class Retry:
    """The attempts at one call: decides after each failure whether to retry or which error to raise."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker
        self._since, self._pause_s = breaker.now(), FIRST_PAUSE_S

    def begin(self) -> None:
        """Called before each attempt. Raises Unavailable while the circuit breaker is open."""
        self._breaker.admit()

    def record_success(self) -> None:
        """Called when the service has answered; restarts `patience_s`."""
        self._breaker.record_success()
        self._since, self._pause_s = self._breaker.now(), FIRST_PAUSE_S

    async def wait_or_raise(self, error: grpc.aio.AioRpcError) -> None:
        """Waits before the next attempt, or raises the error that the caller gets."""
        if error.code() not in REFUSAL_CODES:
            DEPENDENCY_FAILURES.add(1, self._breaker.service, error.code().name)
        if not _is_retryable(error):
            raise _convert_error(error, self._breaker.service) from error
        await self.wait(error)

    async def wait_after_mismatch(self) -> None:
        """Waits after an answer from a replica with other models. Raises Unavailable if none has the right ones."""
        self._breaker.record_success()
        await self.wait()

    async def wait(self, error: Exception | None = None) -> None:
        """Waits before the next attempt. Raises Unavailable if the service has been unavailable for `patience_s`."""
        if self._breaker.should_stop_retrying(self._since):
            raise self._breaker.refusal() from error
        DEPENDENCY_RETRIES.add(1, self._breaker.service)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)


def _is_retryable(error: grpc.aio.AioRpcError) -> bool:
    """Whether another attempt may succeed: the service is unavailable or busy, or the replica has another model."""
    reason = parse_error_info(error)[0]
    return (
        error.code() in RETRYABLE_CODES or reason == "MODEL_MISMATCH" or (error.code() in BROKEN_CODES and not reason)
    )


def _convert_error(error: grpc.aio.AioRpcError, service: str) -> ServiceError:
    """The composer's error for one of a service: a refusal keeps its reason; anything else is Unavailable."""
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
