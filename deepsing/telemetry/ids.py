"""Ids that connect the log lines of one session in all four services; they are passed on as metadata of calls."""

import re
import uuid
from collections.abc import Iterable
from contextvars import ContextVar

__all__ = ["take_ids", "outgoing_metadata", "log_ids", "request_id", "session_id"]

REQUEST_ID_KEY, SESSION_ID_KEY, TRACE_KEY = "x-request-id", "x-session-id", "traceparent"
request_id: ContextVar[str] = ContextVar("request_id", default="")
session_id: ContextVar[str] = ContextVar("session_id", default="")  # of the story that a call belongs to
traceparent: ContextVar[str] = ContextVar("traceparent", default="")  # W3C: 00-<32 hex>-<16 hex>-<2 hex>
_VALID_ID = re.compile(r"(?!deepsing_)[A-Za-z0-9._-]{1,64}")  # never an API key sent by mistake: ids are logged
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
Metadata = Iterable[tuple[str, str | bytes]]


def take_ids(metadata: Metadata) -> None:
    """Takes the ids of a call for this task; a request id that is missing or invalid is replaced by a new one.

    Args:
        metadata: of the call; an id is valid if it has 1 to 64 characters of A-Z a-z 0-9 . _ -
    """
    found = {key: value for key, value in metadata if isinstance(value, str)}
    request_id.set(_valid_or_empty(found.get(REQUEST_ID_KEY, "")) or uuid.uuid4().hex)
    session_id.set(_valid_or_empty(found.get(SESSION_ID_KEY, "")))
    parent = found.get(TRACE_KEY, "")
    traceparent.set(parent if _TRACEPARENT.fullmatch(parent) else "")


def outgoing_metadata() -> tuple[tuple[str, str], ...]:
    """Returns the metadata to add to a call to another service; empty outside a call."""
    ids = ((REQUEST_ID_KEY, request_id), (SESSION_ID_KEY, session_id), (TRACE_KEY, traceparent))
    return tuple((key, variable.get()) for key, variable in ids if variable.get())


def log_ids() -> dict[str, str]:
    """Returns the ids for a line of the log, those that are known."""
    ids = {"request_id": request_id.get(), "session_id": session_id.get(), "trace_id": trace_id()}
    return {name: value for name, value in ids.items() if value}


def trace_id() -> str:
    """Returns the id of the trace, 32 hex digits, or "" if there is none."""
    return traceparent.get()[3:35]


def _valid_or_empty(value: str) -> str:
    return value if _VALID_ID.fullmatch(value) else ""
