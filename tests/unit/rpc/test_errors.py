import grpc
import pytest
from google.rpc import error_details_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, QuotaFailure, RetryInfo

from deepsing.rpc.errors import (
    STATUS_DETAILS,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
    Unavailable,
    parse_error_info,
)
from deepsing.v1 import error_reason_pb2 as reasons


class Failed(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
    def __init__(self, *trailers: tuple[str, object]) -> None:
        self._trailers = trailers

    def trailing_metadata(self) -> tuple[tuple[str, object], ...]:
        return self._trailers


def detail(error: ServiceError, name: str) -> object:
    message = getattr(error_details_pb2, name)()
    return message if any(packed.Unpack(message) for packed in error.to_status().details) else None


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (InvalidArgument, grpc.StatusCode.INVALID_ARGUMENT),
        (FailedPrecondition, grpc.StatusCode.FAILED_PRECONDITION),
        (Unavailable, grpc.StatusCode.UNAVAILABLE),
        (ResourceExhausted, grpc.StatusCode.RESOURCE_EXHAUSTED),
        (DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
def test_each_class_has_one_code(kind: type[ServiceError], code: grpc.StatusCode) -> None:
    error = kind("no", reason=reasons.ERROR_REASON_QUEUE_FULL)
    assert error.code is code
    assert error.to_status().code == code.value[0]


def test_invalid_input_names_reason_field_value_and_rule() -> None:
    error = InvalidArgument(
        "fps is 240; choose 1 to 60", reason=reasons.ERROR_REASON_FRAME_RATE_OUT_OF_RANGE, field="fps", value=240
    )
    info = ErrorInfo(reason="FRAME_RATE_OUT_OF_RANGE", domain="deepsing", metadata={"field": "fps", "value": "240"})
    violation = BadRequest.FieldViolation(field="fps", description="fps is 240; choose 1 to 60")
    assert detail(error, "ErrorInfo") == info
    assert detail(error, "BadRequest") == BadRequest(field_violations=[violation])
    assert detail(error, "RetryInfo") is None


def test_exhausted_says_when_to_try_again_and_which_quota_is_spent() -> None:
    error = ResourceExhausted("full", reason=reasons.ERROR_REASON_QUOTA_EXCEEDED, retry_after_s=1.25, quota="streams")
    retry = detail(error, "RetryInfo")
    assert isinstance(retry, RetryInfo)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 250_000_000)
    quota = detail(error, "QuotaFailure")
    assert isinstance(quota, QuotaFailure)
    assert quota.violations[0].subject == "streams"


def test_long_messages_and_values_are_cut_so_that_the_trailers_fit() -> None:
    error = InvalidArgument("é" * 9000, reason=reasons.ERROR_REASON_TITLE_TOO_LONG, field="title", value="x" * 9000)
    assert len(str(error)) == 500
    assert len(error.to_status().SerializeToString()) < 4000


def test_a_reason_is_read_back_from_a_failed_call() -> None:
    error = InvalidArgument("no", reason=reasons.ERROR_REASON_SONG_EMPTY, field="audio", value=0, limit="1")
    failed = Failed(("other", "x"), (STATUS_DETAILS, error.to_status().SerializeToString()))
    assert parse_error_info(failed) == ("SONG_EMPTY", {"field": "audio", "value": "0", "limit": "1"})


@pytest.mark.parametrize("failed", [grpc.RpcError(), Failed(), Failed((STATUS_DETAILS, b"\xff\xff"))])
def test_a_call_without_readable_details_has_no_reason(failed: grpc.RpcError) -> None:
    assert parse_error_info(failed) == ("", {})
