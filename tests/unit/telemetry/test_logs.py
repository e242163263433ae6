import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator

import pytest

from deepsing.telemetry.ids import request_id
from deepsing.telemetry.logs import configure_logs


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", stream)
    for handler in handlers:  # else `force` would close the test runner's own
        root.removeHandler(handler)
    configure_logs("painter")
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_service_level_and_fields(stderr: io.StringIO) -> None:
    logging.getLogger("x").info("two\nlines é", extra={"fields": {"rpc": "/a/B", "duration_ms": 1.5}})
    (line,) = lines(stderr)
    assert line.pop("time").__class__ is str
    assert line == {
        "level": "INFO",
        "service": "painter",
        "logger": "x",
        "message": "two\nlines é",
        "rpc": "/a/B",
        "duration_ms": 1.5,
    }


def test_the_request_id_and_a_trace_are_in_the_line(stderr: io.StringIO) -> None:
    token = request_id.set("r1")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("x").exception("failed")
    request_id.reset(token)
    (line,) = lines(stderr)
    assert line["request_id"] == "r1"
    assert str(line["trace"]).endswith("ValueError: broken")


def test_the_level_holds_and_warnings_are_logged(stderr: io.StringIO) -> None:
    logging.getLogger("x").debug("hidden")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(True)
        warnings.warn("odd", UserWarning, stacklevel=1)
    (line,) = lines(stderr)
    assert "UserWarning: odd" in str(line["message"])


def test_grpcs_complaint_about_a_caller_who_left_is_not_logged(stderr: io.StringIO) -> None:
    logging.getLogger("grpc._cython.cygrpc").error("ExecuteBatchError raised in core by servicer method [%s]", "/a/B")
    logging.getLogger("x").error(KeyError("a message that is no text"))
    assert [line["message"] for line in lines(stderr)] == ["'a message that is no text'"]
