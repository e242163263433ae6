"""What a service raises to refuse a call, and how the refusal travels.

    ServiceError              the base: each class has one gRPC code, each instance one reason of the contract
    ├── InvalidArgument
    ├── FailedPrecondition
    ├── Unavailable
    ├── ResourceExhausted
    ├── DeadlineExceeded
    ├── Unauthenticated
    └── Unimplemented

An error travels as a google.rpc.Status in the trailing metadata of the call; `parse_error_info` reads it there.
"""

import math
from typing import TYPE_CHECKING, ClassVar

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from deepsing.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from deepsing.v1.error_reason_pb2 import _ErrorReason

__all__ = [
    "ServiceError",
    "InvalidArgument",
    "FailedPrecondition",
    "Unavailable",
    "ResourceExhausted",
    "DeadlineExceeded",
    "Unauthenticated",
    "Unimplemented",
    "parse_error_info",
    "STATUS_DETAILS",
]

DOMAIN = "deepsing"
STATUS_DETAILS = "grpc-status-details-bin"  # trailing metadata key of a serialised google.rpc.Status
MESSAGE_LIMIT = 500  # characters; message and details share the 8 KiB of trailers that a client accepts
VALUE_LIMIT = 200  # characters of a value that is sent back


class ServiceError(Exception):
    """An error that a call is refused with: the message states the rule, the value received and what to do.

    Args:
        message: one sentence for a person.
        reason: a member of `deepsing.v1.ErrorReason`.
        field: the request's field in question, as the contract spells it.
        value: what was received in it.
        retry_after_s: after how long to try again, >= 0; None if trying again does not help.
        quota: whose quota is used up; adds a QuotaFailure.
        **metadata: more entries for the metadata of ErrorInfo.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: "_ErrorReason.ValueType",
        field: str = "",
        value: object = "",
        retry_after_s: float | None = None,
        quota: str = "",
        **metadata: str,
    ) -> None:
        super().__init__(_truncate(message, MESSAGE_LIMIT))
        self.reason = reason
        self.field = field
        self.value = value
        self.retry_after_s = retry_after_s
        self.quota = quota
        self.metadata = metadata

    @property
    def reason_name(self) -> str:
        """The reason as ErrorInfo carries it, e.g. "SONG_EMPTY"."""
        return ErrorReason.Name(self.reason).removeprefix("ERROR_REASON_")

    def to_status(self) -> status_pb2.Status:
        """The google.rpc.Status that goes to the caller, with all details."""
        code: int = self.code.value[0]
        return status_pb2.Status(
            code=code, message=str(self), details=[_pack_detail(detail) for detail in self._build_details()]
        )

    def _build_details(self) -> list[message.Message]:
        metadata = dict(self.metadata)
        if self.field:
            metadata |= {"field": self.field, "value": _truncate(str(self.value), VALUE_LIMIT)}
        details: list[message.Message] = []
        if self.reason:
            details.append(error_details_pb2.ErrorInfo(reason=self.reason_name, domain=DOMAIN, metadata=metadata))
        if self.field and self.code is grpc.StatusCode.INVALID_ARGUMENT:
            violation = error_details_pb2.BadRequest.FieldViolation(field=self.field, description=str(self))
            details.append(error_details_pb2.BadRequest(field_violations=[violation]))
        if self.quota:
            spent = error_details_pb2.QuotaFailure.Violation(subject=self.quota, description=str(self))
            details.append(error_details_pb2.QuotaFailure(violations=[spent]))
        if self.retry_after_s is not None:
            details.append(error_details_pb2.RetryInfo(retry_delay=_to_duration(self.retry_after_s)))
        return details


class InvalidArgument(ServiceError):
    """The request breaks a rule of the contract; sending it again does not help."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class FailedPrecondition(ServiceError):
    """The request is well formed, but does not fit the state of what it refers to."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Unavailable(ServiceError):
    """Something that is needed is not available now; try again after `retry_after_s`."""

    code = grpc.StatusCode.UNAVAILABLE


class ResourceExhausted(ServiceError):
    """A limit on sessions, queues or quotas is reached; try again after `retry_after_s`."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class DeadlineExceeded(ServiceError):
    """The deadline of the call, or the longest time allowed for it, has passed."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unauthenticated(ServiceError):
    """The caller has not shown who it is, or what it showed is not valid here."""

    code = grpc.StatusCode.UNAUTHENTICATED


class Unimplemented(ServiceError):
    """The service has no such method."""

    code = grpc.StatusCode.UNIMPLEMENTED


def parse_error_info(rpc_error: grpc.RpcError) -> tuple[str, dict[str, str]]:
    """Reads the reason of a failed call.

    Args:
        rpc_error: what a call of a stub raised.

    Returns:
        The reason's name ("SONG_EMPTY") and ErrorInfo's metadata; ("", {}) if the call carries none,
        e.g. because the connection broke.
    """
    trailers: tuple[tuple[str, bytes], ...] = getattr(rpc_error, "trailing_metadata", tuple)() or ()
    for key, value in trailers:
        if key == STATUS_DETAILS:
            return _decode_status(value)
    return "", {}


def _decode_status(serialised: bytes) -> tuple[str, dict[str, str]]:
    status = status_pb2.Status()
    info = error_details_pb2.ErrorInfo()
    try:
        status.ParseFromString(serialised)
        if any(detail.Unpack(info) for detail in status.details):
            return info.reason, dict(info.metadata)
    except message.DecodeError:  # from a proxy or another kind of server
        pass
    return "", {}


def _pack_detail(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed


def _to_duration(seconds: float) -> duration_pb2.Duration:
    whole = math.floor(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def _truncate(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
