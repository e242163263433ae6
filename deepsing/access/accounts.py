"""Counts what each caller uses, and refuses more than its quotas allow; in memory, for this process alone."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from deepsing.rpc.errors import ResourceExhausted
from deepsing.v1 import error_reason_pb2 as reasons

__all__ = ["Account", "Accounts", "Quotas", "caller_account", "caller_name", "charge", "charge_unfinished"]

DAY_S = 86_400
CLOSE_ONE_S = 10.0  # retry delay sent to a caller with too many streams
MAX_ACCOUNTS = 10_000  # beyond this, accounts of idle callers are forgotten
caller_account: ContextVar["Account | None"] = ContextVar("caller_account", default=None)


@dataclass(frozen=True)
class Quotas:
    """Limits of one caller; 0 is no limit."""

    streams: int = 0  # open at once
    requests_per_minute: int = 0
    work_s_per_day: float = 0.0  # per UTC day


def caller_name() -> str:
    """The name of the caller that is being served; "" without access control."""
    account = caller_account.get()
    return account.name if account else ""


def charge(work_s: float) -> None:
    """Charges the caller being served for work that was done; does nothing if access control is off.

    Args:
        work_s: seconds of work, >= 0.

    Raises:
        ResourceExhausted: QUOTA_EXCEEDED, if the work of the day is now used up.
    """
    account = caller_account.get()
    if account is not None:
        account.charge(work_s)


def charge_unfinished(work_s: float) -> None:
    """As `charge`, for work whose caller has left: refuses nothing more."""
    with suppress(ResourceExhausted):
        charge(work_s)


class Account:
    """What one caller has used.

    Args:
        name: of the caller, whole: no two callers share it.
        clock: seconds since 1970.
        label: shows the name in messages; empty is the name itself.
        is_valid: whether the caller may still call; False once its key is revoked, replaced or expired.
    """

    def __init__(
        self,
        name: str,
        clock: Callable[[], float] = time.time,
        label: str = "",
        is_valid: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name, self.label, self.is_valid = name, label or name, is_valid
        self.quotas = Quotas()
        self.open_streams = 0
        self._clock = clock
        self._tokens, self._refilled_at = 0.0, 0.0  # of the token bucket, and when it was last refilled
        self._day, self._work_s = 0, 0.0

    def admit(self) -> None:
        """Counts a request; raises ResourceExhausted if it is one too many, or the work of the day is used up."""
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
        """Counts a stream while it is open; raises ResourceExhausted if it is one too many."""
        most = self.quotas.streams
        if most and self.open_streams >= most:
            raise self._build_refusal(f"{most} streams at once", "close one", CLOSE_ONE_S)
        self.open_streams += 1
        try:
            yield
        finally:
            self.open_streams -= 1

    def charge(self, work_s: float) -> None:
        """Adds work that was done; raises ResourceExhausted if the work of the day is now used up."""
        self._start_new_day()
        self._work_s += work_s
        self._refuse_overwork()

    def is_idle(self) -> bool:
        """Whether it can be forgotten without giving its caller more than its quotas."""
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
        text = f"the quota of {self.label}, {quota}, is used up; {way_out}"
        return ResourceExhausted(
            text, reason=reasons.ERROR_REASON_QUOTA_EXCEEDED, retry_after_s=wait_s, quota=self.label
        )


class Accounts:
    """The accounts of all callers, by name."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def get_or_create(
        self, name: str, quotas: Quotas, label: str = "", is_valid: Callable[[], bool] = lambda: True
    ) -> Account:
        """Returns the account of a caller, with its current quotas; for the rest see Account."""
        if name not in self._accounts:
            if len(self._accounts) >= MAX_ACCOUNTS:
                self._accounts = {kept: one for kept, one in self._accounts.items() if not one.is_idle()}
            self._accounts[name] = Account(name, label=label, is_valid=is_valid)
        account = self._accounts[name]
        account.quotas = quotas
        return account
