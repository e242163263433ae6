"""How long an upload may take: by the bytes that come, not by messages, which may be empty."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

from deepsing.rpc.errors import DeadlineExceeded
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["LEAST_BYTES_PER_S", "LONGEST_UPLOAD_S", "UploadClock"]

LEAST_BYTES_PER_S = 256  # 2 kbit/s: less than any encoder of music makes
LONGEST_UPLOAD_S = 16_200.0  # half an hour more than the longest song, which may be sent as it is played
Request = TypeVar("Request")


class UploadClock:
    """Ends an upload without progress. Create it when the upload begins, in a running event loop.

    Args:
        stall_s: an upload ends when fewer than LEAST_BYTES_PER_S have come on average for this long, seconds.
        way_out: what ends an upload in good order, for messages.
        total_s: an upload ends after this time whatever comes, seconds.
    """

    def __init__(self, stall_s: float, way_out: str = "half-close", total_s: float = LONGEST_UPLOAD_S) -> None:
        self._loop = asyncio.get_running_loop()
        self._stall_s, self._way_out, self._total_s = stall_s, way_out, total_s
        self._ends = self._loop.time() + total_s
        self._due, self._bytes = self._loop.time() + stall_s, 0  # since the last progress

    def count(self, byte_count: int) -> None:
        """Counts bytes that have come."""
        self._bytes += byte_count
        if self._bytes >= max(1, LEAST_BYTES_PER_S * self._stall_s):
            self._due, self._bytes = self._loop.time() + self._stall_s, 0

    async def receive(self, incoming: AsyncIterator[Request]) -> Request | None:
        """Receives the next message, None after the last. Raises DeadlineExceeded UPLOAD_STALLED."""
        until = min(self._due, self._ends)
        try:
            async with asyncio.timeout_at(until):
                request = await anext(incoming, None)
        except TimeoutError:
            raise self._build_refusal() from None
        if request is not None and self._loop.time() > until:  # messages that come without a wait are never timed out
            raise self._build_refusal()
        return request

    def _build_refusal(self) -> DeadlineExceeded:
        if self._loop.time() >= self._ends:
            rule = f"the upload has taken more than {self._total_s:g} s"
        elif self._bytes:
            rule = f"{self._bytes} bytes of audio came in {self._stall_s:g} s"
        else:
            rule = f"no audio came for {self._stall_s:g} s"
        message = f"{rule}; send it faster, or {self._way_out}"
        return DeadlineExceeded(message, reason=reasons.ERROR_REASON_UPLOAD_STALLED)
