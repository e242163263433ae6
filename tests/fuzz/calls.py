"""Sends serialised requests to a server and judges the answer by what every answer has to be."""

__all__ = ["Answer", "call"]

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc

from deepsing.rpc.errors import parse_error_info
from deepsing.rpc.workarounds import keep_status
from deepsing.v1.error_reason_pb2 import ErrorReason
from tests.fuzz.messages import Method

QUIET_S = 20.0  # longest that a server may say nothing; heartbeats count
LIMIT_S = 40.0  # a story that is still told after so long was not malformed: it is left
REASONED = {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "NOT_FOUND"}
ALLOWED = {*REASONED, "OK", "DEADLINE_EXCEEDED", "ALREADY_EXISTS", "ABORTED"}
KNOWN = {name.removeprefix("ERROR_REASON_") for name, _ in ErrorReason.items()} - {"UNSPECIFIED", "INTERNAL"}
LEAKS = ("Traceback", ".py", "site-packages", "0x7f", "Error:", "failed (INTERNAL)", "failed (UNKNOWN)")
MESSAGE_BYTES = 4 * 2**20  # gRPC itself refuses a larger one, without our reasons


@dataclass(frozen=True)
class Answer:
    """How a call ended.

    Attributes:
        what: "OK", "left", or code and reason.
        fault: what an answer must not be, "" if it is well.
    """

    what: str
    fault: str
    wall_s: float


async def call(channel: grpc.aio.Channel, method: Method, requests: list[bytes]) -> Answer:
    """Makes one call and reads its answer to the end."""
    kinds = {True: "stream", False: "unary"}
    make = getattr(channel, f"{kinds[method.streams_up]}_{kinds[method.streams_down]}")(method.path)
    began = time.monotonic()
    running: Any = make(_send_each(requests) if method.streams_up else requests[0])
    if method.streams_up:
        keep_status(running)
    try:
        if method.streams_down:
            what = await _read(running, began)
        else:
            await asyncio.wait_for(running, QUIET_S)
            what = "OK"
        fault = ""
    except TimeoutError:
        what, fault = "no answer", f"said nothing for {QUIET_S:g} s"
    except grpc.aio.AioRpcError as error:
        what, fault = _judge_error(error, max(map(len, requests), default=0))
    finally:
        running.cancel()
    return Answer(what, fault, time.monotonic() - began)


async def _read(running: Any, began: float) -> str:
    while (await asyncio.wait_for(running.read(), QUIET_S)) is not grpc.aio.EOF:
        if time.monotonic() - began > LIMIT_S:
            return "left"
    return "OK"


async def _send_each(requests: list[bytes]) -> AsyncIterator[bytes]:
    for request in requests:
        yield request


def _judge_error(error: grpc.aio.AioRpcError, largest_bytes: int) -> tuple[str, str]:
    code, (reason, _) = error.code().name, parse_error_info(error)
    details = error.details() or ""
    if code == "RESOURCE_EXHAUSTED" and not reason and largest_bytes > MESSAGE_BYTES:
        return f"{code} (gRPC's own)", ""
    what = f"{code} {reason}".strip()
    if code not in ALLOWED:
        return what, f"{code}: {details}"
    if code in REASONED and reason not in KNOWN:
        return what, f"{code} has the reason {reason!r}: {details}"
    if any(leak in details for leak in LEAKS):
        return what, f"{code} tells of the inside: {details}"
    return what, ""
