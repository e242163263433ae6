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
FIRST_CALLS = 2  # of a connection, which others of its machine cannot take from it


def find_caller(context: Any) -> tuple[str, str]:
    """Who makes a call: the name that access control found, else the machine that the connection comes from.

    Behind a proxy that machine is the proxy, and all its callers without a key are one.

    Args:
        context: of the call that is being served.

    Returns:
        The caller; and the connection, empty if the caller has a name.
    """
    caller = call_facts.get({}).get("caller")
    if caller:
        return str(caller), ""
    peer = str(context.peer())
    kind, _, address = peer.partition(":")
    return address.rpartition(":")[0] if kind in ("ipv4", "ipv6") else kind, peer


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
        self._open: Counter[str] = Counter()  # by caller, and by connection
        self.count = 0

    @contextmanager
    def hold(self, caller: str, connection: str = "") -> Iterator[None]:
        """Counts a call while it is open. Raises ResourceExhausted if it is one too many.

        Args:
            caller: who makes it.
            connection: if several may be behind one caller, as behind a machine: its first calls are admitted even
                where another connection has used up the caller's share.
        """
        if self.count >= self._most:
            raise self._build_refusal(f"{self.count} {self._what} are open, the most there may be")
        is_new = connection and self._open[connection] < FIRST_CALLS
        if self._open[caller] >= self._most_each and not is_new:
            raise self._build_refusal(f"{self._open[caller]} {self._what} of yours are open, your share; close some")
        names = list(filter(None, (caller, connection)))
        self._open.update(names)
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            self._open.subtract(names)
            for name in names:
                if not self._open[name]:
                    del self._open[name]

    def _build_refusal(self, rule: str) -> ResourceExhausted:
        message = f"{rule}; try again in {self._retry_after_s:g} s"
        return ResourceExhausted(message, reason=self._reason, retry_after_s=self._retry_after_s)
