"""The two refusals of a caller who is not known. Neither says more than the caller knew before."""

import grpc

from deepsing.rpc.errors import ServiceError
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["Unauthenticated", "key_missing", "key_invalid"]


class Unauthenticated(ServiceError):
    """Nobody knows who calls."""

    code = grpc.StatusCode.UNAUTHENTICATED


def key_missing() -> Unauthenticated:
    """For a call without a credential, or with one where none is looked for."""
    text = "no API key; send it as metadata 'authorization: Bearer …'"
    return Unauthenticated(text, reason=reasons.ERROR_REASON_KEY_MISSING)


def key_invalid() -> Unauthenticated:
    """For a credential that is unknown, revoked, expired, forged, spent or meant for others: always the same words."""
    text = "the API key or token is not known here, is not for this service, or has expired; ask for a new one"
    return Unauthenticated(text, reason=reasons.ERROR_REASON_KEY_INVALID)
