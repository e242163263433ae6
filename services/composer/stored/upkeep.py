"""Deletes what has expired, by the store's own clock, and fills a queue that is new or was lost."""

import asyncio
import json
import logging
import time
from collections.abc import Iterable
from contextlib import suppress

from services.composer.stored.queue import Queue
from services.composer.stored.record import Record
from services.composer.stored.store import THREADS, AsyncStore, NotFound, UnreadableRecord, VersionConflict

__all__ = ["delete_expired", "end_story", "expire", "fill_queue"]

MOST_DUE = 100  # looked at in one round
NO_LIMIT = 2**31
logger = logging.getLogger(__name__)


async def delete_expired(store: AsyncStore, queue: Queue, ttl_s: float) -> int:
    """Looks at ended stories and idempotency keys that are due: first the files go, a `ttl_s` later the record.

    Returns:
        How many it has looked at; where that is MOST_DUE there may be more. Any number of composers may do so at once.

    Raises:
        StoreError, QueueError: the rest is due again a little later.
    """
    due = await queue.take_due(MOST_DUE)
    for name in due:
        try:
            age_s = await store.call(store.blocking.age_s, name)
        except NotFound:
            await queue.remove(name)
            continue
        if age_s < ttl_s:
            await queue.end(name, ttl_s - age_s)
        elif name.startswith("keys/"):
            await _delete_unused_key(store, queue, name, ttl_s)
        else:
            await _delete_story(store, queue, name, ttl_s)
    return len(due)


async def _delete_story(store: AsyncStore, queue: Queue, name: str, ttl_s: float) -> None:
    try:
        record, version = await store.read_record(name)
    except UnreadableRecord:
        await store.call(store.blocking.delete, name)
        await store.delete_all(name.replace("records/", "stories/", 1) + "/")
        await queue.remove(name)
        return
    if not record.ended:  # made again meanwhile
        await queue.add(name, record.owner, NO_LIMIT)
    elif record.state != "EXPIRED":
        with suppress(VersionConflict, NotFound):  # written meanwhile: it is due again a little later
            await expire(store, queue, record, version, ttl_s)
    else:
        await store.call(store.blocking.delete, name)
        await store.delete_all(record.folder)
        await queue.remove(name)


async def end_story(store: AsyncStore, queue: Queue, name: str, ttl_s: float) -> None:
    """Ends a story in the queue whose record has ended, unless a caller has had it made again at this moment."""
    await queue.end(name, ttl_s)
    with suppress(NotFound, UnreadableRecord):
        record, _ = await store.read_record(name)
        if not record.ended:
            await queue.add(name, record.owner, NO_LIMIT)


async def expire(store: AsyncStore, queue: Queue, record: Record, version: str, ttl_s: float) -> None:
    """Deletes a story's files; its record stays for another `ttl_s`. Raises VersionConflict, NotFound."""
    now = time.time()  # for callers to read
    times = {"ended_s": now, "expires_s": now + ttl_s}
    await store.replace_record(record, version, state="EXPIRED", files=(), segments=(), **times)
    await store.delete_all(record.folder)
    await end_story(store, queue, record.name, ttl_s)


async def _delete_unused_key(store: AsyncStore, queue: Queue, name: str, ttl_s: float) -> None:
    """Deletes an idempotency key whose story is not there any more."""
    with suppress(NotFound):
        content = (await store.call(store.blocking.read, name)).content
        with suppress(ValueError, KeyError, TypeError):  # what cannot be read is of no use
            await store.call(store.blocking.read, f"records/{name.split('/')[1]}/{json.loads(content)['story_id']}")
            await queue.end(name, ttl_s)
            return
    await store.call(store.blocking.delete, name)
    await queue.remove(name)


async def fill_queue(store: AsyncStore, queue: Queue) -> None:
    """Gives every record and key of the store an entry in a queue that is new, or has lost its content.

    Raises:
        StoreError, QueueError: it is to be done again.
    """
    names = await store.list_names("records/")
    logger.warning("the queue of stories is new or was lost: it is filled from %d records", len(names))
    for first in range(0, len(names), THREADS):
        await asyncio.gather(*(_add_entry(store, queue, name) for name in names[first : first + THREADS]))
    await _end_all(queue, await store.list_names("keys/"))
    await queue.set_filled()


async def _add_entry(store: AsyncStore, queue: Queue, name: str) -> None:
    try:
        record, _ = await store.read_record(name)
    except NotFound:
        return
    except UnreadableRecord as error:
        logger.error("set aside: %s", error)
        await queue.end(name, 0)
        return
    if record.ended:
        await queue.end(name, 0)  # how old it is is seen when it is due
    else:
        await queue.add(name, record.owner, NO_LIMIT)


async def _end_all(queue: Queue, names: Iterable[str]) -> None:
    for name in names:
        await queue.end(name, 0)
