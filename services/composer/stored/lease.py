"""The right to tell a story: held by one composer at a time, kept by renewing it, and void once somebody else writes.

No clocks are compared. A holder renews its record well within `lease_s`; who sees a record unchanged for that long, on
its own clock, may take it. All writes of a record depend on the version that the writer saw last, so a holder that
slept through its lease cannot write any more, and what it still stores beside the record is never named by it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from services.composer.stored.record import Record
from services.composer.stored.store import NotFound, Store, StoreError, VersionConflict

__all__ = ["Lease", "LeaseLost", "AsyncStore"]

Result = TypeVar("Result")
THREADS = 4
RENEWALS = 4  # in the time of a lease
PAUSE_S = 0.5  # before a write is tried again that the store did not take


class LeaseLost(Exception):
    """Somebody else has the story now, or it was cancelled; stop working on it."""


class AsyncStore:
    """A store whose methods are called from a few threads of their own."""

    def __init__(self, store: Store) -> None:
        self.blocking = store
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")

    async def call(self, method: Callable[..., Result], *arguments: Any) -> Result:
        """Calls a method of the store. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, method, *arguments)

    async def read_record(self, name: str) -> tuple[Record, str]:
        """A story's record and its version. Raises NotFound, StoreError."""
        entry = await self.call(self.blocking.read, name)
        return Record.from_bytes(entry.content), entry.version

    async def list_names(self, prefix: str, after: str = "") -> list[tuple[str, str]]:
        """As Store.list."""
        return await self.call(lambda: list(self.blocking.list(prefix, after)))

    async def replace_record(self, record: Record, version: str, **changes: Any) -> Record:
        """Writes a record's next version over the one that was seen. Raises VersionConflict, StoreError."""
        changed = record.with_changes(**changes)
        await self.call(self.blocking.replace, record.name, changed.to_bytes(), version)
        return changed

    def close(self) -> None:
        """Lets calls under way end, and takes no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Lease:
    """A story that this composer tells.

    Args:
        record: as this composer has just written it, with itself as holder.
        lease_s: how long the lease holds without being renewed.
    """

    def __init__(self, store: AsyncStore, record: Record, lease_s: float) -> None:
        self.store, self.record, self._lease_s = store, record, lease_s
        self._writing = asyncio.Lock()
        self._renewed_at_s = time.monotonic()

    @classmethod
    async def acquire(cls, store: AsyncStore, record: Record, version: str, holder: str, lease_s: float) -> Lease:
        """Takes a story that nobody holds, or whose holder was silent. Raises VersionConflict."""
        changes = {"state": "RUNNING", "holder": holder, "epoch": record.epoch + 1, "frames_per_s": 0.0}
        lost = record.losses + bool(record.holder)
        return cls(store, await store.replace_record(record, version, **changes, losses=lost), lease_s)

    async def update(self, **changes: Any) -> Record:
        """Writes the story's next version, which renews the lease too.

        Raises:
            LeaseLost: the story is somebody else's now, or the store was away for longer than the lease.
        """
        async with self._writing:
            while True:
                try:
                    self.record = await self._write(changes)
                except StoreError:
                    if time.monotonic() - self._renewed_at_s > self._lease_s:
                        raise LeaseLost("the store was away for longer than the lease") from None
                    await asyncio.sleep(PAUSE_S)
                    continue
                self._renewed_at_s = time.monotonic()
                return self.record

    async def _write(self, changes: dict[str, Any]) -> Record:
        try:
            there, version = await self.store.read_record(self.record.name)
            if (there.holder, there.epoch, there.state) != (self.record.holder, self.record.epoch, "RUNNING"):
                raise LeaseLost(f"the story is {there.state} by now")
            return await self.store.replace_record(there, version, **changes)
        except (VersionConflict, NotFound):
            raise LeaseLost("the story was taken, cancelled or deleted") from None

    async def keep_alive(self) -> None:
        """Renews the lease until it is cancelled. Raises LeaseLost."""
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS)
            await self.update()
