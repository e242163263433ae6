"""What a service raises to refuse a call: each class has one gRPC code, each instance one reason of the contract."""

import grpc

from deepsing.rpc.status import STATUS_DETAILS as STATUS_DETAILS
from deepsing.rpc.status import ServiceError as ServiceError
from deepsing.rpc.status import parse_error_info as parse_error_info

__all__ = ["InvalidArgument", "FailedPrecondition", "Unavailable", "ResourceExhausted", "DeadlineExceeded"]


class InvalidArgument(ServiceError):
    """The request breaks a rule of the contract; sending it again is no use."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class FailedPrecondition(ServiceError):
    """The request is well formed, but does not fit the state that it refers to."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Unavailable(ServiceError):
    """Something that is needed does not answer now; try again after `retry_after_s`."""

    code = grpc.StatusCode.UNAVAILABLE


class ResourceExhausted(ServiceError):
    """A bound on sessions, queues or quotas is reached; try again after `retry_after_s`."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class DeadlineExceeded(ServiceError):
    """The time for it has run out."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
