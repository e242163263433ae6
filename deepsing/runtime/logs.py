"""Logs for machines: one JSON object a line on stderr, each with the id of the request that it belongs to."""

import json
import logging
import re
import sys
import uuid
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

__all__ = ["configure_logs", "request_id", "request_id_from", "call_facts", "REQUEST_ID_KEY"]

REQUEST_ID_KEY = "x-request-id"  # metadata of a call, both ways
request_id: ContextVar[str] = ContextVar("request_id", default="")
call_facts: ContextVar[dict[str, Any]] = ContextVar("call_facts")  # of the call under way, for its line in the log
_ACCEPTABLE = re.compile(r"(?!deepsing_)[A-Za-z0-9._-]{1,64}")  # not an API key by mistake: ids are logged


def configure_logs(service: str, level: str = "INFO") -> None:
    """Sends the process's logs and warnings to stderr as JSON.

    Args:
        service: goes into every line.
        level: "DEBUG", "INFO", "WARNING" or "ERROR".
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(service))
    handler.addFilter(lambda record: not str(record.msg).startswith("ExecuteBatchError"))  # a caller left
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)


def request_id_from(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Finds the caller's request id, or makes one.

    Args:
        metadata: of the call; an id is taken if it has 1 to 64 characters of A-Z a-z 0-9 . _ -
    """
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _ACCEPTABLE.fullmatch(value):
            return value
    return uuid.uuid4().hex


class _JsonLines(logging.Formatter):
    """Formats a record; what `extra={"fields": {...}}` carries becomes keys of the object."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
