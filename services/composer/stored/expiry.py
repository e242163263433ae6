"""Deletes what is over: a story's objects at its time, its record and the keys that led to it after as long again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress

from services.composer.stored.record import Record
from services.composer.stored.store import AsyncStore, NotFound, VersionConflict

__all__ = ["sweep"]


async def sweep(store: AsyncStore, records: Sequence[Record], ttl_s: float) -> None:
    """Expires what is to expire. Any number of composers may do so at once.

    Args:
        store: of the stories.
        records: of all stories, as they were read last.
        ttl_s: how long an expired story's record still says so.

    Raises:
        StoreError: the store does not answer; what is left is for the next time.
    """
    now = time.time()
    due = [record for record in records if record.expires_s <= now and not record.holder]
    for record in due:
        with suppress(VersionConflict, NotFound):
            there, version = await store.read_record(record.name)
            if there.expires_s > now or there.holder:
                continue
            if there.state != "EXPIRED":
                await store.replace_record(
                    there, version, state="EXPIRED", files=(), segments=(), ended_s=now, expires_s=now + ttl_s
                )
            else:
                await store.call(store.blocking.delete, there.name)
            for name, _ in await store.list_names(there.folder):
                await store.call(store.blocking.delete, name)
    if due:
        await _forget_keys(store, {(record.owner, record.story_id) for record in due})


async def _forget_keys(store: AsyncStore, gone: set[tuple[str, str]]) -> None:
    """Removes the idempotency keys that lead to stories which are gone."""
    for name, _ in await store.list_names("keys/"):
        with suppress(NotFound):
            entry = await store.call(store.blocking.read, name)
            if (name.split("/")[1], json.loads(entry.content)["story_id"]) in gone:
                await store.call(store.blocking.delete, name)
