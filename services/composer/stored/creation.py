"""Creates stored stories. Equal requests create one story, however often they are sent."""

import hashlib
import json
import logging
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.stored.errors import key_reused_error, queue_full_error
from services.composer.stored.queue import Queue, QueueError, QueueFull
from services.composer.stored.record import Record
from services.composer.stored.store import AsyncStore, NotFound, UnreadableRecord, VersionConflict
from services.composer.stored.upkeep import NO_LIMIT

__all__ = ["ClaimedKey", "parse_key", "create_or_get"]

CREATION_S = 3600.0  # longest time that a song may take to be stored
RENEWED = ("created_s", "expires_s", "song", "config")
KEY = re.compile(r"[A-Za-z0-9_-]{0,64}")
logger = logging.getLogger(__name__)


def parse_key(text: str) -> str:
    """Checks a caller's idempotency key. Raises InvalidArgument IDEMPOTENCY_KEY_INVALID."""
    if not KEY.fullmatch(text):
        message = f"idempotency_key has {len(text)} characters; send at most 64 of A-Z, a-z, 0-9, - and _"
        reason = reasons.ERROR_REASON_IDEMPOTENCY_KEY_INVALID
        raise InvalidArgument(message, reason=reason, field="idempotency_key", value=text)
    return text


async def create_or_get(store: AsyncStore, queue: Queue, wanted: Record, song: Path, most: int) -> tuple[Record, bool]:
    """Stores and queues a new story, or returns the one that is stored already.

    A place in the queue is taken first, hidden: should this composer die before the record is written, whoever takes
    the place then finds no story and tidies up.

    Args:
        store: where stories are kept.
        queue: where they wait.
        wanted: record of the story if it is new.
        song: its audio file, stored with it.
        most: stories that a caller may have which have not ended.

    Returns:
        The story's record, and whether it existed. A story that failed, was cancelled, has expired or whose record
        cannot be read is made again.

    Raises:
        ResourceExhausted: QUEUE_FULL.
        StoreError, QueueError: the story is not created, or not known to be.
    """
    while True:
        there, version = await _read_if_any(store, wanted.name)
        if there is not None and there.state not in ("FAILED", "CANCELLED", "EXPIRED"):
            if not there.ended:
                with suppress(QueueError):  # for one whose composer died before it was queued
                    await queue.add(wanted.name, wanted.owner, NO_LIMIT)
            return there, True
        try:
            await queue.add(wanted.name, wanted.owner, most, CREATION_S)
        except QueueFull as error:
            raise queue_full_error(error.count) from None
        try:
            await store.call(store.blocking.put, wanted.song, song)
            record = wanted if there is None else _renew_record(there, wanted)
            if version:
                await store.call(store.blocking.replace, wanted.name, record.to_bytes(), version)
            else:
                await store.call(store.blocking.create, wanted.name, record.to_bytes())
            return record, False
        except VersionConflict:  # another writer was faster: read the record again
            continue
        finally:
            await queue.add(wanted.name, wanted.owner, NO_LIMIT)  # free: to be told, or to be tidied up


async def _read_if_any(store: AsyncStore, name: str) -> tuple[Record | None, str]:
    """A record, if there is one that can be read, and the version of what is there ("": nothing)."""
    try:
        return await store.read_record(name)
    except NotFound:
        return None, ""
    except UnreadableRecord as error:
        logger.error("it is made again: %s", error)
        return None, error.version


def _renew_record(there: Record, wanted: Record) -> Record:
    """The record of an ended story that is to be made again from its last segment."""
    changes: dict[str, Any] = {"state": "QUEUED", "error": None, "losses": 0, "ended_s": 0.0}
    return there.with_changes(**changes, **{one: getattr(wanted, one) for one in RENEWED})


class ClaimedKey:
    """An idempotency key of a caller, bound to the request that it came with.

    Args:
        owner: tag of the caller.
        key: chosen by the caller; if it is empty, nothing is stored and no story is found.
        request: hash of the request's config and song.
    """

    def __init__(self, store: AsyncStore, owner: str, key: str, request: str) -> None:
        self._store, self._key, self._request = store, key, request
        self._name = f"keys/{owner}/{hashlib.sha256(key.encode()).hexdigest()[:32]}"

    async def story_id(self) -> str:
        """The id of the story that this request created before, or "". Raises IDEMPOTENCY_KEY_REUSED."""
        if not self._key:
            return ""
        try:
            claimed = json.loads((await self._store.call(self._store.blocking.read, self._name)).content)
        except NotFound:
            return ""
        if claimed["request"] != self._request:
            raise key_reused_error(self._key)
        return str(claimed["story_id"])

    async def claim(self, story_id: str, queue: Queue, ttl_s: float) -> None:
        """Binds the key to a story, for `ttl_s` and as long as the story is kept.

        Raises:
            ServiceError: IDEMPOTENCY_KEY_REUSED, another request has bound it meanwhile.
            StoreError, QueueError: it is not bound, or not known to be.
        """
        if not self._key:
            return
        await queue.end(self._name, ttl_s)
        content = json.dumps({"request": self._request, "story_id": story_id, "created_s": time.time()}).encode()
        try:
            await self._store.call(self._store.blocking.create, self._name, content)
        except VersionConflict:
            await self.story_id()
