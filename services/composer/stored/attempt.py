"""One composer's attempt at a stored story, which only the latest one may write.

Beginning writes a higher epoch into the record, and every write is conditional on the version that was read. So a
composer that was frozen, or lost the story, cannot write the record any more; and no record will ever name the other
objects that it still stores, whose names carry its own epoch.
"""

import asyncio
import time
from typing import Any

from services.composer.stored.record import Record
from services.composer.stored.store import AsyncStore, NotFound, StoreError, UnreadableRecord, VersionConflict

__all__ = ["Attempt", "AttemptLost"]

PAUSE_S = 0.5  # before a write is made again that failed with StoreError


class AttemptLost(Exception):
    """Another composer has the story now, or it was cancelled; stop working on it."""


class Attempt:
    """The right to write one story's record.

    Args:
        record: just written by this composer.
        patience_s: how long writes are tried again while the store does not answer.
    """

    def __init__(self, store: AsyncStore, record: Record, patience_s: float) -> None:
        self.store, self.record, self._patience_s = store, record, patience_s
        self._writing = asyncio.Lock()

    @classmethod
    async def begin(cls, store: AsyncStore, record: Record, version: str, patience_s: float) -> "Attempt":
        """Begins another attempt at a story that has not ended. Raises VersionConflict, StoreError."""
        losses = record.losses + (record.state == "RUNNING")  # nobody gave it back
        changes = {"state": "RUNNING", "epoch": record.epoch + 1, "frames_per_s": 0.0, "losses": losses}
        return cls(store, await store.replace_record(record, version, **changes), patience_s)

    async def update(self, **changes: Any) -> Record:
        """Changes the story's record.

        Raises:
            AttemptLost: another composer has the story now, or it was cancelled or deleted.
            StoreError: the store has not answered for longer than `patience_s`.
        """
        give_up_s = time.monotonic() + self._patience_s
        async with self._writing:
            while True:
                try:
                    self.record = await self._write(changes)
                    return self.record
                except StoreError:
                    if time.monotonic() > give_up_s:
                        raise
                    await asyncio.sleep(PAUSE_S)

    async def _write(self, changes: dict[str, Any]) -> Record:
        try:
            there, version = await self.store.read_record(self.record.name)
            if (there.epoch, there.state) != (self.record.epoch, "RUNNING"):
                raise AttemptLost(f"the story was changed by another writer; its state is {there.state}")
            return await self.store.replace_record(there, version, **changes)
        except (VersionConflict, NotFound, UnreadableRecord):
            raise AttemptLost("the story was taken, cancelled or deleted") from None
