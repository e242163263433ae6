"""The right to tell a story: held by one composer at a time, kept by renewing it, and void once somebody else writes.

No clocks are compared. A holder renews its record well within `lease_s`; who sees a record unchanged for that long, on
its own clock, may take it. All writes of a record depend on the version that the writer saw last, so a holder that
slept through its lease cannot write any more, and what it still stores beside the record is never named by it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from services.composer.stored.record import Record
from services.composer.stored.store import AsyncStore, NotFound, StoreError, VersionConflict

__all__ = ["Lease", "LeaseLost"]

RENEWALS = 4  # in the time of a lease
PAUSE_S = 0.5  # before a write is tried again that the store did not take


class LeaseLost(Exception):
    """Somebody else has the story now, or it was cancelled; stop working on it."""


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
