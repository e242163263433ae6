"""Tells stories from the queue, one after another, and keeps up the store."""

import asyncio
import logging
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import grpc

from deepsing.access.accounts import Account, caller_account
from deepsing.rpc.errors import DeadlineExceeded, ResourceExhausted, ServiceError, Unauthenticated, Unavailable
from deepsing.rpc.machine import convert_machine_error
from deepsing.runtime.supervision import supervise
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.backends.client import Backends
from services.composer.metrics import STORIES_SET_ASIDE, STORIES_UNENDED
from services.composer.settings import ComposerSettings
from services.composer.stored.attempt import Attempt, AttemptLost
from services.composer.stored.job import StoryJob
from services.composer.stored.queue import Queue, QueueError, Ticket
from services.composer.stored.record import Record
from services.composer.stored.store import AsyncStore, NotFound, StoreError, UnreadableRecord, VersionConflict
from services.composer.stored.upkeep import MOST_DUE, delete_expired, end_story, expire, fill_queue

__all__ = ["Worker"]

POLL_S = 0.5  # between two looks into an empty queue
RENEWALS = 4  # of a lease, per lease_s; as often the store is kept up
LONGEST_UPKEEP_PAUSE_S = 10.0
MOST_LOSSES = 5  # composers that may die over one story, one after another without progress, before it fails
RETRY_PAUSE_S = 30.0  # before a story is tried again after a temporary error
REST_S = 10.0  # in which a composer that cannot reach the store leaves stories to others
NOT_NOW = (Unavailable, ResourceExhausted, DeadlineExceeded)  # temporary errors
AWAY = (QueueError, StoreError)
logger = logging.getLogger(__name__)


class Worker:
    """Tells the stories of a queue; any number of composers may work at one queue.

    Args:
        scratch: folder for temporary files.

    Attributes:
        accounts: of callers who created stories at this composer, by name of the record; charged for the work.
    """

    def __init__(
        self, settings: ComposerSettings, backends: Backends, store: AsyncStore, queue: Queue, scratch: Path
    ) -> None:
        self.settings, self._backends, self._store, self._queue = settings, backends, store, queue
        self._scratch = scratch
        self.accounts: dict[str, Account | None] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._rests_until_s = 0.0
        self._news = asyncio.Event()
        work = (("stories", self._take_stories), ("upkeep of stories", self._keep_up))
        self._tasks = [asyncio.create_task(supervise(name, each, AWAY)) for name, each in work]

    def wake(self) -> None:
        """Looks into the queue now, because something in it has changed."""
        self._news.set()

    def stop(self, name: str) -> None:
        """Stops work on a cancelled story, if this composer makes it."""
        self.accounts.pop(name, None)
        if name in self._running:
            self._running[name].cancel()

    async def close(self) -> None:
        """Stops all work and gives the stories back, so that other composers can take them at once."""
        for task in (*self._tasks, *self._running.values()):
            task.cancel()
        await asyncio.wait({*self._tasks, *self._running.values()})

    async def _take_stories(self) -> None:
        while True:
            self._news.clear()
            while len(self._running) < self.settings.stories_running and time.monotonic() >= self._rests_until_s:
                ticket = await self._queue.take(self.settings.lease_s)
                if ticket is None:
                    break
                task = asyncio.create_task(self._work_on(ticket))
                self._running[ticket.name] = task
                task.add_done_callback(lambda task, name=ticket.name: self._on_task_done(task, name))  # type: ignore[misc]
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._news.wait()

    def _on_task_done(self, task: asyncio.Task[None], name: str) -> None:
        if self._running.get(name) is task:  # its lease may have been over, and this composer has it again
            del self._running[name]
        if not task.cancelled() and (error := task.exception()):  # it is free again after its lease
            logger.error("%s: %s", name, error, exc_info=None if isinstance(error, AWAY) else error)
        self.wake()

    async def _keep_up(self) -> None:
        pause_s = min(LONGEST_UPKEEP_PAUSE_S, self.settings.lease_s / RENEWALS)
        while True:
            if not await self._queue.is_filled():
                await fill_queue(self._store, self._queue)
                self.wake()
            STORIES_UNENDED.set(await self._queue.count())
            if await delete_expired(self._store, self._queue, self.settings.story_ttl_s) < MOST_DUE:
                await asyncio.sleep(pause_s)

    async def _work_on(self, ticket: Ticket) -> None:
        """Tells a story while its lease is valid, and records the outcome."""
        attempt = await self._begin(ticket)
        if attempt is None:
            return
        caller_account.set(self.accounts.get(ticket.name))
        job = asyncio.create_task(self._run_job(attempt))
        renewing = asyncio.create_task(self._renew(ticket))
        try:
            await asyncio.wait({job, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (job, renewing):
                task.cancel()
            await asyncio.gather(job, renewing, return_exceptions=True)
            with suppress(AttemptLost, *AWAY):  # then it is free again after its lease
                await self._record_outcome(attempt, ticket, job)

    async def _begin(self, ticket: Ticket) -> Attempt | None:
        """Begins an attempt; None where nothing is to be told, or not by this version of the program."""
        store, queue, ttl_s, lease_s = self._store, self._queue, self.settings.story_ttl_s, self.settings.lease_s
        try:
            record, version = await store.read_record(ticket.name)
            if record.ended:
                await end_story(store, queue, ticket.name, ttl_s)
            elif record.state not in ("QUEUED", "RUNNING"):
                logger.warning("%s is %s, which a later version may know; set aside", record.name, record.state)
                await queue.release(ticket, RETRY_PAUSE_S)
            elif await self._get_age_s(record) >= ttl_s:
                await expire(store, queue, record, version, ttl_s)
            elif await queue.renew(ticket, lease_s):  # this composer was not frozen meanwhile
                if record.state == "RUNNING":
                    logger.warning("story %s is taken over at frame %d", record.story_id, record.frames_done)
                return await Attempt.begin(store, record, version, lease_s)
        except NotFound as error:  # the composer that was creating it died before it was stored
            logger.warning("%s is removed: there is no %s", ticket.name, error)
            await store.delete_all(ticket.name.replace("records/", "stories/", 1) + "/")
            await queue.end(ticket.name, 0)
        except UnreadableRecord as error:
            STORIES_SET_ASIDE.add()
            logger.error("set aside: %s", error)
            await queue.end(ticket.name, ttl_s)
        except VersionConflict:
            await queue.release(ticket, 0)
        except StoreError:  # others may still reach the store: they get the story, and this composer waits
            self._rests_until_s = time.monotonic() + REST_S
            await queue.release(ticket, 0)
            raise
        return None

    async def _get_age_s(self, record: Record) -> float:
        """Seconds since a story was created; 0 if its song is lost, which its attempt will say."""
        try:
            return await self._store.call(self._store.blocking.age_s, record.song)
        except NotFound:
            return 0.0

    async def _renew(self, ticket: Ticket) -> None:
        """Renews the lease; ends once it is lost. While the queue is away nobody else can take the story."""
        while True:
            await asyncio.sleep(self.settings.lease_s / RENEWALS)
            with suppress(QueueError):
                if not await self._queue.renew(ticket, self.settings.lease_s):
                    return

    async def _run_job(self, attempt: Attempt) -> None:
        if attempt.record.losses >= MOST_LOSSES:
            raise RuntimeError(f"{MOST_LOSSES} composers went silent while they made this story")
        account = caller_account.get()
        if account is not None and not account.is_valid():
            text = "the API key that this story was created with is no longer valid; create it with another"
            raise Unauthenticated(text, reason=reasons.ERROR_REASON_KEY_INVALID)
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self._scratch))
        try:
            await StoryJob(self.settings, self._backends, attempt, folder).run()
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _record_outcome(self, attempt: Attempt, ticket: Ticket, job: asyncio.Task[None]) -> None:
        """Records that a story failed, or gives it back: at once, or after a pause where the error is temporary."""
        record, failure = attempt.record, None if job.cancelled() else job.exception()
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
        if failure is not None:
            failure = convert_machine_error(failure, "the composer") or failure
        is_temporary = isinstance(failure, (*NOT_NOW, *AWAY))
        if not record.ended and not isinstance(failure, AttemptLost):
            if failure is None or is_temporary:
                record = await attempt.update(state="QUEUED")
            else:
                record = await self._record_failure(attempt, failure)
        if record.ended:
            self.accounts.pop(ticket.name, None)
            await end_story(self._store, self._queue, ticket.name, self.settings.story_ttl_s)
            return
        if failure is not None:
            logger.warning("story %s waits: %s", record.story_id, failure)
        await self._queue.release(ticket, RETRY_PAUSE_S if is_temporary else 0)

    async def _record_failure(self, attempt: Attempt, failure: BaseException) -> Record:
        story_id, now = attempt.record.story_id, time.time()
        error = (grpc.StatusCode.INTERNAL.value[0], "INTERNAL", f"internal error; quote story {story_id}")
        if isinstance(failure, ServiceError):
            error = (failure.code.value[0], failure.reason_name, str(failure))
        else:
            logger.error("story %s failed", story_id, exc_info=failure)
        return await attempt.update(state="FAILED", error=error, ended_s=now, expires_s=now + self.settings.story_ttl_s)
