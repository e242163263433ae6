"""Polls the store: makes stories that wait or whose composer died, and deletes expired ones."""

import asyncio
import logging
import shutil
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc

from deepsing.access.accounts import Account, caller_account
from deepsing.rpc.errors import DeadlineExceeded, ResourceExhausted, ServiceError, Unavailable
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.backends.client import Backends
from services.composer.settings import ComposerSettings
from services.composer.stored.expiry import sweep
from services.composer.stored.job import StoryJob
from services.composer.stored.lease import Lease, LeaseLost
from services.composer.stored.record import Record
from services.composer.stored.store import AsyncStore, NotFound, StoreError, VersionConflict

__all__ = ["Worker"]

POLLS_PER_LEASE = 4  # per lease_s
MOST_LOSSES = 5  # composers that may die over one story before it fails
QUEUE_S = 60.0  # retry delay given to callers with too many stories; a story takes minutes
RETRY_PAUSE_S = 30.0  # before a story is tried again after a temporary error
NOT_NOW = (Unavailable, ResourceExhausted, DeadlineExceeded)  # temporary errors
logger = logging.getLogger(__name__)


@dataclass
class _SeenRecord:
    """A record as last read, and since when it is unchanged (monotonic clock, seconds)."""

    version: str
    record: Record
    since: float


class Worker:
    """Makes the stories of a store; any number of composers may work on one store.

    Args:
        scratch: folder for temporary files.

    Attributes:
        accounts: of callers who created stories at this composer, by name of the record; charged for the work.
    """

    def __init__(self, settings: ComposerSettings, backends: Backends, store: AsyncStore, scratch: Path) -> None:
        self.settings, self._backends, self._store, self._scratch = settings, backends, store, scratch
        self._name = uuid.uuid4().hex
        self.accounts: dict[str, Account | None] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._retry_at_s: dict[str, float] = {}
        self._seen: dict[str, _SeenRecord] = {}
        self._news = asyncio.Event()
        self._poller = asyncio.create_task(self._poll_forever())

    def wake(self) -> None:
        """Polls the store now, because something in it has changed."""
        self._news.set()

    def admit(self, story: Record) -> None:
        """Checks that a caller may store one more story, and remembers the caller's account to charge the work to.

        Raises:
            ResourceExhausted: QUEUE_FULL. Stories created at other composers since the last poll are not counted.
        """
        owner = story.owner
        names = {name for name, seen in self._seen.items() if seen.record.owner == owner and not seen.record.ended}
        names.update(name for name in self.accounts if name.startswith(f"records/{owner}/"))
        names.discard(story.name)  # a retry after a conflict is not one more story
        if len(names) >= self.settings.stories_waiting:
            message = f"{len(names)} of your stories have not ended, the most there may be; try again in {QUEUE_S:g} s"
            raise ResourceExhausted(message, reason=reasons.ERROR_REASON_QUEUE_FULL, retry_after_s=QUEUE_S)
        self.accounts[story.name] = caller_account.get()

    def stop(self, name: str) -> None:
        """Stops work on a cancelled story, if this composer makes it; its record is read again at the next poll."""
        self._seen.pop(name, None)
        self.accounts.pop(name, None)
        if name in self._running:
            self._running[name].cancel()

    async def close(self) -> None:
        """Stops all work and releases the leases, so that other composers can take the stories at once."""
        self._poller.cancel()
        for task in self._running.values():
            task.cancel()
        await asyncio.wait({self._poller, *self._running.values()})

    async def _poll_forever(self) -> None:
        while True:
            self._news.clear()
            try:
                await self._poll_store()
                await sweep(self._store, [seen.record for seen in self._seen.values()], self.settings.story_ttl_s)
            except StoreError as error:
                logger.warning("cannot look for stories: %s", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.lease_s / POLLS_PER_LEASE):
                    await self._news.wait()

    async def _poll_store(self) -> None:
        """Reads the records that have changed, and takes the oldest stories that have no live holder."""
        listed = dict(await self._store.list_names("records/"))
        for name, version in listed.items():
            if name not in self._seen or self._seen[name].version != version:
                with suppress(NotFound):
                    record, version = await self._store.read_record(name)
                    self._seen[name] = _SeenRecord(version, record, time.monotonic())
        self._seen = {name: seen for name, seen in self._seen.items() if name in listed}
        for name in [name for name, seen in self._seen.items() if seen.record.ended]:
            self.accounts.pop(name, None)
            self._retry_at_s.pop(name, None)
        for seen in sorted(self._seen.values(), key=lambda seen: seen.record.created_s):
            if len(self._running) >= self.settings.stories_running:
                return
            if self._is_free(seen):
                await self._take_story(seen)

    def _is_free(self, seen: _SeenRecord) -> bool:
        record, now = seen.record, time.monotonic()
        if record.ended or record.name in self._running or now < self._retry_at_s.get(record.name, 0):
            return False
        return not record.holder or now - seen.since > self.settings.lease_s

    async def _take_story(self, seen: _SeenRecord) -> None:
        record = seen.record
        try:
            lease = await Lease.acquire(self._store, record, seen.version, self._name, self.settings.lease_s)
        except VersionConflict:
            return
        if record.holder:
            logger.warning("story %s is taken over at frame %d", record.story_id, record.frames_done)
        task = asyncio.create_task(self._run_lease(lease))
        self._running[record.name] = task
        task.add_done_callback(lambda _: self._on_task_done(record.name))

    def _on_task_done(self, name: str) -> None:
        del self._running[name]
        self.wake()

    async def _run_lease(self, lease: Lease) -> None:
        """Makes a story while its lease is valid, and records the outcome."""
        record = lease.record
        caller_account.set(self.accounts.get(record.name))
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._scratch))
        job = asyncio.create_task(self._run_job(lease, folder))
        renewing = asyncio.create_task(lease.keep_alive())
        try:
            await asyncio.wait({job, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (job, renewing):
                task.cancel()
            await asyncio.gather(job, renewing, return_exceptions=True)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            with suppress(LeaseLost, StoreError):
                await self._record_outcome(lease, job)

    async def _run_job(self, lease: Lease, folder: Path) -> None:
        if lease.record.losses >= MOST_LOSSES:
            raise RuntimeError(f"{MOST_LOSSES} composers went silent while they made this story")
        await StoryJob(self.settings, self._backends, lease, folder).run()

    async def _record_outcome(self, lease: Lease, job: asyncio.Task[None]) -> None:
        """Queues the story again after a temporary error, else records that it failed. Does nothing if it has ended."""
        record, failure = lease.record, None if job.cancelled() else job.exception()
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        if record.ended or isinstance(failure, LeaseLost):
            return
        if failure is None or isinstance(failure, (*NOT_NOW, StoreError)):
            if failure is not None:
                logger.warning("story %s waits: %s", record.story_id, failure)
                self._retry_at_s[record.name] = time.monotonic() + RETRY_PAUSE_S
            await lease.update(state="QUEUED", holder="")
            return
        error = (grpc.StatusCode.INTERNAL.value[0], "INTERNAL", f"internal error; quote story {record.story_id}")
        if isinstance(failure, ServiceError):
            error = (failure.code.value[0], failure.reason_name, str(failure))
        else:
            logger.error("story %s failed", record.story_id, exc_info=failure)
        now = time.time()
        await lease.update(
            state="FAILED", error=error, holder="", ended_s=now, expires_s=now + self.settings.story_ttl_s
        )
