"""The right to make a stored story: one composer holds it at a time, renews it, and loses it once another one writes.

Clocks of different machines are not compared. The holder renews the record well within `lease_s`; a composer that sees
a record unchanged for that long, on its own clock, may take the lease. Every write of a record is conditional on the
version that the writer read last. So a holder that missed its renewals cannot write the record any more, and no record
will ever name the other objects that it still stores.
"""

import asyncio
import time
from typing import Any

from services.composer.stored.record import Record
from services.composer.stored.store import AsyncStore, NotFound, StoreError, VersionConflict

__all__ = ["Lease", "LeaseLost"]

RENEWALS = 4  # per lease_s
PAUSE_S = 0.5  # before a write is retried that failed with StoreError


class LeaseLost(Exception):
    """Another composer has the story now, or it was cancelled; stop working on it."""


class Lease:
    """A lease of one story that this composer holds.

    Args:
        record: just written by this composer, with itself as holder.
        lease_s: how long the lease is valid without being renewed.
    """

    def __init__(self, store: AsyncStore, record: Record, lease_s: float) -> None:
        self.store, self.record, self._lease_s = store, record, lease_s
        self._writing = asyncio.Lock()
        self._renewed_at_s = time.monotonic()

    @classmethod
    async def acquire(cls, store: AsyncStore, record: Record, version: str, holder: str, lease_s: float) -> "Lease":
        """Takes a story without a holder, or whose holder was silent. Raises VersionConflict."""
        changes = {"state": "RUNNING", "holder": holder, "epoch": record.epoch + 1, "frames_per_s": 0.0}
        lost = record.losses + bool(record.holder)
        return cls(store, await store.replace_record(record, version, **changes, losses=lost), lease_s)

    async def update(self, **changes: Any) -> Record:
        """Changes the story's record, which renews the lease too.

        Raises:
            LeaseLost: another composer has the story now, or the store was unavailable for longer than the lease.
        """
        async with self._writing:
            while True:
                try:
                    self.record = await self._write(changes)
                except StoreError:
                    if time.monotonic() - self._renewed_at_s > self._lease_s:
                        raise LeaseLost("the store was unavailable for longer than the lease") from None
                    await asyncio.sleep(PAUSE_S)
                    continue
                self._renewed_at_s = time.monotonic()
                return self.record

    async def _write(self, changes: dict[str, Any]) -> Record:
        try:
            there, version = await self.store.read_record(self.record.name)
            if (there.holder, there.epoch, there.state) != (self.record.holder, self.record.epoch, "RUNNING"):
                raise LeaseLost(f"the story was changed by another writer; its state is {there.state}")
            return await self.store.replace_record(there, version, **changes)
        except (VersionConflict, NotFound):
            raise LeaseLost("the story was taken, cancelled or deleted") from None

    async def keep_alive(self) -> None:
        """Renews the lease until it is cancelled. Raises LeaseLost."""
        while True:
            await asyncio.sleep(self._lease_s / RENEWALS)
            await self.update()
