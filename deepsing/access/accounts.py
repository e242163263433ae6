"""What each caller has used up of what it may use. Kept in memory, by this process alone."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from deepsing.rpc.errors import ResourceExhausted
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["Account", "Accounts", "Quotas", "caller_account", "charge"]

DAY_S = 86_400
CLOSE_ONE_S = 10.0  # when to ask again for a stream
MAX_ACCOUNTS = 10_000  # those of callers who are idle are forgotten beyond
caller_account: ContextVar["Account | None"] = ContextVar("caller_account", default=None)


@dataclass(frozen=True)
class Quotas:
    """Limits of one caller; 0 is none."""

    streams: int = 0  # open at once
    requests_per_minute: int = 0
    work_s_per_day: float = 0.0  # of a UTC day


def charge(work_s: float) -> None:
    """Charges whoever is being served with work that was done; nobody where access is off.

    Args:
        work_s: seconds of it, >= 0.

    Raises:
        ResourceExhausted: QUOTA_EXCEEDED, with this the day's share is used up.
    """
    account = caller_account.get()
    if account is not None:
        account.charge(work_s)


class Account:
    """One caller's use.

    Args:
        name: of the caller, for messages.
        clock: seconds since 1970.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.quotas = Quotas()
        self.open_streams = 0
        self._clock = clock
        self._tokens, self._refilled_at = 0.0, 0.0  # of the bucket, and when it was looked at
        self._day, self._work_s = 0, 0.0

    def admit(self) -> None:
        """Counts a request; raises ResourceExhausted where it is one too many, or the day's work is used up."""
        self._refuse_overwork()
        rate = self.quotas.requests_per_minute / 60
        if not rate:
            return
        now = self._clock()
        most = float(self.quotas.requests_per_minute)
        self._tokens = min(most, self._tokens + max(0.0, now - self._refilled_at) * rate)
        self._refilled_at = now
        if self._tokens < 1:
            wait_s = (1 - self._tokens) / rate
            raise self._build_refusal(f"{most:g} requests a minute", f"try again in {wait_s:.3g} s", wait_s)
        self._tokens -= 1

    @contextmanager
    def count_stream(self) -> Iterator[None]:
        """Counts a stream while it is open; raises ResourceExhausted where it is one too many."""
        most = self.quotas.streams
        if most and self.open_streams >= most:
            raise self._build_refusal(f"{most} streams at once", "close one", CLOSE_ONE_S)
        self.open_streams += 1
        try:
            yield
        finally:
            self.open_streams -= 1

    def charge(self, work_s: float) -> None:
        """Adds work that was done; raises ResourceExhausted where that is more than a day's."""
        self._start_new_day()
        self._work_s += work_s
        self._refuse_overwork()

    def is_idle(self) -> bool:
        """Whether forgetting it would give its caller nothing."""
        self._start_new_day()
        return not self.open_streams and not self._work_s and self._clock() - self._refilled_at > 60

    def _refuse_overwork(self) -> None:
        self._start_new_day()
        most = self.quotas.work_s_per_day
        if most and self._work_s >= most:
            wait_s = (self._day + 1) * DAY_S - self._clock()
            raise self._build_refusal(f"{most:g} s of work a day", f"try again in {wait_s / 3600:.3g} h", wait_s)

    def _start_new_day(self) -> None:
        today = int(self._clock() // DAY_S)
        if today != self._day:
            self._day, self._work_s = today, 0.0

    def _build_refusal(self, quota: str, way_out: str, wait_s: float) -> ResourceExhausted:
        text = f"the quota of {self.name}, {quota}, is used up; {way_out}"
        return ResourceExhausted(
            text, reason=reasons.ERROR_REASON_QUOTA_EXCEEDED, retry_after_s=wait_s, quota=self.name
        )


class Accounts:
    """The accounts of all callers, by name."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def get_or_create(self, name: str, quotas: Quotas) -> Account:
        """The account of a caller, under the quotas that hold for it now."""
        if name not in self._accounts:
            if len(self._accounts) >= MAX_ACCOUNTS:
                self._accounts = {kept: one for kept, one in self._accounts.items() if not one.is_idle()}
            self._accounts[name] = Account(name)
        account = self._accounts[name]
        account.quotas = quotas
        return account
