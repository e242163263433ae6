"""Shares of what all callers use: nobody's open calls shut the others out."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deepsing.rpc.errors import ResourceExhausted
from deepsing.telemetry.logs import call_facts
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["Shares", "find_caller"]

RETRY_AFTER_S = 5.0  # given to callers who are refused


def find_caller(context: Any) -> str:
    """Who makes a call: the name that access control found, else the machine that the connection comes from.

    Behind a proxy that machine is the proxy, and all its callers without a key are one.

    Args:
        context: of the call that is being served.
    """
    caller = call_facts.get({}).get("caller")
    if caller:
        return str(caller)
    kind, _, address = str(context.peer()).partition(":")
    return address.rpartition(":")[0] if kind in ("ipv4", "ipv6") else kind


class Shares:
    """Counts open calls, in all and by caller, and refuses one too many.

    Args:
        most: calls in all.
        most_each: calls of one caller.
        what: is counted, in messages, in the plural, e.g. "calls".
        reason: of the refusal.
        retry_after_s: after how long to try again, seconds.
    """

    def __init__(
        self,
        most: int,
        most_each: int,
        what: str,
        reason: reasons.ErrorReason.ValueType,
        retry_after_s: float = RETRY_AFTER_S,
    ) -> None:
        self._most, self._most_each, self._what, self._reason = most, most_each, what, reason
        self._retry_after_s = retry_after_s
        self._open: Counter[str] = Counter()
        self.count = 0

    @contextmanager
    def hold(self, caller: str) -> Iterator[None]:
        """Counts a call while it is open. Raises ResourceExhausted if it is one too many."""
        if self.count >= self._most:
            raise self._build_refusal(f"{self.count} {self._what} are open, the most there may be")
        if self._open[caller] >= self._most_each:
            raise self._build_refusal(f"{self._open[caller]} {self._what} of yours are open, your share; close some")
        self._open[caller] += 1
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]

    def _build_refusal(self, rule: str) -> ResourceExhausted:
        message = f"{rule}; try again in {self._retry_after_s:g} s"
        return ResourceExhausted(message, reason=self._reason, retry_after_s=self._retry_after_s)
