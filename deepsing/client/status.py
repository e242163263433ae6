"""From a failed call to an exception of `deepsing.client.errors`."""

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from deepsing.client.errors import DeepsingError, Failed, InvalidSong, Refused, Unavailable
from deepsing.rpc.errors import STATUS_DETAILS, parse_error_info

__all__ = ["convert_error"]

REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }
)
BROKEN = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})  # without a reason, by no service of ours
LATER = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)


def convert_error(call_error: grpc.aio.AioRpcError, target: str) -> DeepsingError:
    """Names what a failed call means for its caller.

    Args:
        call_error: what a call of a stub raised.
        target: "host:port" that was called, for the message.
    """
    code = call_error.code()
    reason, metadata = parse_error_info(call_error)
    message = call_error.details() or code.name
    if not reason:
        message = _explain_status(code, message, target)
    kind: type[DeepsingError] = Failed
    if code in REFUSALS:
        kind = InvalidSong if reason.startswith("SONG_") else Refused
    elif code in LATER or (code in BROKEN and not reason):
        kind = Unavailable
    return kind(message, code=code, reason=reason, metadata=metadata, retry_after_s=_parse_retry_after_s(call_error))


def _explain_status(code: grpc.StatusCode, message: str, target: str) -> str:
    """Says what a failure of gRPC itself means: those carry no reason and no way out."""
    if code is grpc.StatusCode.UNAVAILABLE:
        return _explain_unavailable(message, target)
    if code is grpc.StatusCode.CANCELLED:
        return f"{target}, or a proxy before it, cancelled the call ({message}); try again"
    if code in BROKEN:
        return f"{target}, or a proxy before it, broke the call off ({message}); try again"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{target} was not done in the time allowed; allow more"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"{target} does not serve this ({message}); is it a deepsing service of this version?"
    return message


def _explain_unavailable(message: str, target: str) -> str:
    """Says why no connection came about, as far as gRPC's words for it (those of grpcio 1.76 to 1.85) show."""
    if "WRONG_VERSION_NUMBER" in message:
        return f"{target} does not speak TLS, and this call does ({message}); call it without TLS (no --tls, tls=False)"
    if "CERTIFICATE_VERIFY_FAILED" in message:
        return (
            f"the certificate of {target} is not signed by a CA that is trusted here ({message}); "
            "name its CA (--tls-ca PEM, Tls(ca=…))"
        )
    if "last error" in message and ("Socket closed" in message or "Connection reset by peer" in message):
        return (
            f"{target} closes every connection ({message}); it may ask for TLS (--tls, --tls-ca PEM, tls=…) or for a "
            "client's certificate (DEEPSING_CHANNEL_TLS_CERTIFICATE, Tls(certificate=…, key=…)), or be no gRPC service"
        )
    return f"{target} does not answer ({message}); check the address, or try again"


def _parse_retry_after_s(call_error: grpc.aio.AioRpcError) -> float | None:
    for key, value in call_error.trailing_metadata() or ():
        if key != STATUS_DETAILS:
            continue
        status, retry = status_pb2.Status(), error_details_pb2.RetryInfo()
        try:
            status.ParseFromString(value)
            if any(detail.Unpack(retry) for detail in status.details):
                return float(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)
        except DecodeError:  # a proxy's or a stranger's trailer
            return None
    return None
