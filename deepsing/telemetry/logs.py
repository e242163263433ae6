"""Logs for machines: one JSON object a line on stderr, each with the ids of the call that it belongs to."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from deepsing.rpc.workarounds import is_noise
from deepsing.telemetry.ids import log_ids

__all__ = ["configure_logs", "call_facts"]

call_facts: ContextVar[dict[str, Any]] = ContextVar("call_facts")  # of the call under way, for its line in the log


def configure_logs(service: str, level: str = "INFO") -> None:
    """Sends the process's logs and warnings to stderr as JSON.

    Args:
        service: goes into every line.
        level: "DEBUG", "INFO", "WARNING" or "ERROR".
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(service))
    handler.addFilter(lambda record: not is_noise(record))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)


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
        line |= log_ids()
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
