"""Creates stored stories. Equal requests create one story, however often they are sent."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.stored.errors import key_reused_error
from services.composer.stored.record import Record
from services.composer.stored.store import AsyncStore, NotFound, VersionConflict

__all__ = ["ClaimedKey", "parse_key", "create_or_get"]

KEY = re.compile(r"[A-Za-z0-9_-]{0,64}")


def parse_key(text: str) -> str:
    """Checks a caller's idempotency key. Raises InvalidArgument IDEMPOTENCY_KEY_INVALID."""
    if not KEY.fullmatch(text):
        message = f"idempotency_key has {len(text)} characters; send at most 64 of A-Z, a-z, 0-9, - and _"
        reason = reasons.ERROR_REASON_IDEMPOTENCY_KEY_INVALID
        raise InvalidArgument(message, reason=reason, field="idempotency_key", value=text)
    return text


async def create_or_get(
    store: AsyncStore, wanted: Record, song: Path, admit: Callable[[], None]
) -> tuple[Record, bool]:
    """Stores a new story, or returns the one that is stored already.

    Args:
        store: where stories are kept.
        wanted: record of the story if it is new.
        song: its audio file, stored with it.
        admit: called before a story is queued; raises an error if the queue is full.

    Returns:
        The story's record, and whether it existed. A story that failed, was cancelled or has expired is queued again.
    """
    while True:
        there: tuple[Record, str] | None = None
        with suppress(NotFound):
            there = await store.read_record(wanted.name)
        if there is not None and there[0].state not in ("FAILED", "CANCELLED", "EXPIRED"):
            return there[0], True
        admit()
        await store.call(store.blocking.put, wanted.song, song)
        with suppress(VersionConflict):  # another writer was faster: read the record again
            if there is None:
                await store.call(store.blocking.create, wanted.name, wanted.to_bytes())
                return wanted, False
            anew: dict[str, Any] = {"state": "QUEUED", "error": None, "holder": "", "losses": 0, "ended_s": 0.0}
            for name in ("created_s", "expires_s", "song", "config"):
                anew[name] = getattr(wanted, name)
            record, version = there
            return await store.replace_record(record, version, **anew), False


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

    async def claim(self, story_id: str) -> None:
        """Binds the key to a story. Raises IDEMPOTENCY_KEY_REUSED if another request has bound it meanwhile."""
        if not self._key:
            return
        content = json.dumps({"request": self._request, "story_id": story_id, "created_s": time.time()}).encode()
        try:
            await self._store.call(self._store.blocking.create, self._name, content)
        except VersionConflict:
            await self.story_id()
