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
# Of a service that works: with these reasons another attempt at the same call does not help.
FINAL_REASONS = {"UPLOAD_STALLED"}
REFUSAL_CODES = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # between attempts, doubled each time
RETRY_AFTER_S = 5.0  # between looks whether the service of an open breaker is back; also given to callers


class CircuitBreaker:
    """Refuses calls to a service that does not answer; shared by all sessions.

    It opens when a call has failed for `patience_s` and the service has answered no other call in that time; where the
    call was only slow, which may be due to what it asks for, it opens only if the service is not well. While it is
    open, calls are refused at once: no caller's call is a trial, or whoever asks most, and wrongly, would keep it open.
    Its owner looks whether the service is well again: then calls pass on trial. The first failure opens it again, the
    first answer closes it.

    Args:
        service: its name, for error messages.
        patience_s: how long a service may be unavailable.
        clock: monotonic, seconds.
        look: begins to look whether the service is well; calls `open` or `record_return` in the end. It may be called
            again meanwhile.
    """

    def __init__(
        self,
        service: str,
        patience_s: float,
        clock: Callable[[], float] = time.monotonic,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self.service, self._patience_s, self._clock, self._look = service, patience_s, clock, look
        self._last_success_s = -math.inf  # when the service last answered a call
        self._state = "closed"  # or "open", or "trial"

    @property
    def is_open(self) -> bool:
        """Whether calls are refused."""
        return self._state == "open"

    def admit(self) -> None:
        """Called before each attempt. Raises Unavailable DEPENDENCY_UNAVAILABLE while it is open."""
        if self.is_open:
            raise self.refusal()

    def record_success(self) -> None:
        """Closes the breaker: the service has answered."""
        self._last_success_s, self._state = self._clock(), "closed"

    def open(self) -> None:
        """Refuses calls from now on: the service is not well."""
        self._state = "open"

    def record_return(self) -> None:
        """Lets calls pass on trial: the service says that it is back."""
        if self.is_open:
            self._state = "trial"

    def should_stop_retrying(self, since: float, *, slow: bool = False) -> bool:
        """Whether to stop retrying a call that has failed since a time; opens if no other call was answered either.

        Args:
            since: when it was first made, or last answered.
            slow: whether it has had no answer in time, and no error.
        """
        now = self._clock()
        fails = self._state == "trial" or now - max(since, self._last_success_s) > self._patience_s
        if fails and not self.is_open:
            if not slow:
                self.open()
            self._look()
        return self.is_open or now - since > self._patience_s

    def now(self) -> float:
        """The time of its clock, seconds."""
        return self._clock()

    def refusal(self, *, busy: bool = False) -> Unavailable:
        """The error that callers get."""
        state = "has too much to do" if busy else "does not answer"
        message = f"{self.service} {state}; try again in {RETRY_AFTER_S:g} s"
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
        answered = _is_answer(error)
        if answered:
            self._breaker.record_success()  # it works: it has refused this call, or has too much to do
        if error.code() not in REFUSAL_CODES and not _is_too_large(error):
            DEPENDENCY_FAILURES.add(1, self._breaker.service, error.code().name)
        if not _is_retryable(error):
            raise _convert_error(error, self._breaker.service) from error
        await self.wait(error, busy=answered, slow=error.code() is grpc.StatusCode.DEADLINE_EXCEEDED)

    async def wait_after_mismatch(self) -> None:
        """Waits after an answer from a replica with other models. Raises Unavailable if none has the right ones."""
        self._breaker.record_success()
        await self.wait()

    async def wait(self, error: Exception | None = None, *, busy: bool = False, slow: bool = False) -> None:
        """Waits before the next attempt. Raises Unavailable if the service has been unavailable for `patience_s`.

        Args:
            error: why the last attempt failed.
            busy: whether the service has answered that it cannot do more now.
            slow: whether there was no answer in time.
        """
        if self._breaker.should_stop_retrying(self._since, slow=slow):
            raise self._breaker.refusal(busy=busy) from error
        DEPENDENCY_RETRIES.add(1, self._breaker.service)
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)


def _is_too_large(error: grpc.aio.AioRpcError) -> bool:
    """Whether gRPC, here or there, refused a message by its size; there is no other sign of it than these words."""
    too_much = error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and not parse_error_info(error)[0]
    return too_much and "message larger than max" in (error.details() or "").lower()


def _is_answer(error: grpc.aio.AioRpcError) -> bool:
    """Whether a service that works has said no: the call was wrong, or too much, and says nothing of its health."""
    if _is_too_large(error) or error.code() in REFUSAL_CODES:
        return True
    broken = (grpc.StatusCode.UNAVAILABLE, *BROKEN_CODES)
    return error.code() not in broken and bool(parse_error_info(error)[0])


def _is_retryable(error: grpc.aio.AioRpcError) -> bool:
    """Whether another attempt may succeed: the service is unavailable or busy, or the replica has another model."""
    reason = parse_error_info(error)[0]
    if _is_too_large(error) or reason in FINAL_REASONS:
        return False
    return (
        error.code() in RETRYABLE_CODES or reason == "MODEL_MISMATCH" or (error.code() in BROKEN_CODES and not reason)
    )


def _convert_error(error: grpc.aio.AioRpcError, service: str) -> ServiceError:
    """The composer's error for one of a service: a refusal keeps its reason; anything else is Unavailable."""
    name, metadata = parse_error_info(error)
    if _is_too_large(error):
        message = f"the request is too large for {service}; send less"
        return InvalidArgument(message, reason=reasons.ERROR_REASON_MESSAGE_TOO_LARGE)
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
