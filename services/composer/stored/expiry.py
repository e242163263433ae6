"""Deletes expired stories: first their files, and after another `ttl_s` their records and idempotency keys."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress

from services.composer.stored.record import Record
from services.composer.stored.store import AsyncStore, NotFound, VersionConflict

__all__ = ["sweep"]


async def sweep(store: AsyncStore, records: Sequence[Record], ttl_s: float) -> None:
    """Deletes what has expired. Any number of composers may do so at the same time.

    Args:
        store: where stories are kept.
        records: of all stories, as last read.
        ttl_s: how long the record of an expired story is kept.

    Raises:
        StoreError: the store does not answer; the next call deletes the rest.
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
    """Removes the idempotency keys of stories that were deleted, given as (owner, story id)."""
    for name, _ in await store.list_names("keys/"):
        with suppress(NotFound):
            entry = await store.call(store.blocking.read, name)
            if (name.split("/")[1], json.loads(entry.content)["story_id"]) in gone:
                await store.call(store.blocking.delete, name)
