"""What a service raises to refuse a call: each class has one gRPC code, each instance one reason of the contract."""

import grpc

from deepsing.runtime.status import STATUS_DETAILS as STATUS_DETAILS
from deepsing.runtime.status import ServiceError as ServiceError
from deepsing.runtime.status import error_of as error_of

__all__ = ["InvalidInput", "Unmet", "NotReady", "Exhausted", "TooLate"]


class InvalidInput(ServiceError):
    """The request breaks a rule of the contract; sending it again is no use."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class Unmet(ServiceError):
    """The request is well formed, but does not fit the state that it refers to."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class NotReady(ServiceError):
    """Something that is needed does not answer now; try again after `retry_after_s`."""

    code = grpc.StatusCode.UNAVAILABLE


class Exhausted(ServiceError):
    """A bound on sessions, queues or quotas is reached; try again after `retry_after_s`."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class TooLate(ServiceError):
    """The time for it has run out."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
