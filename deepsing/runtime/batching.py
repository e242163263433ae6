"""Collects jobs of many callers into batches for one device: fair, bounded, and without jobs whose caller left."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from deepsing.runtime.fair_queue import FairQueue, Ticket
from deepsing.runtime.fair_queue import QueueFull as QueueFull
from deepsing.runtime.onnx import DeviceThread
from deepsing.telemetry.metrics import Counter, Gauge, Histogram

__all__ = ["MicroBatcher", "QueueFull", "QUEUE_WAIT"]

Job = TypeVar("Job")
Result = TypeVar("Result")
GROW_AFTER = 64  # batches that fitted into memory; then they may be twice as large
PACE_RISE, PACE_FALL = 1.05, 0.8  # factors on the estimate: at most after a slower batch, and after each refusal

PRIORITIES = ("live", "offline")
SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
WAITS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ITEMS_S = (0.001, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 5)

QUEUE_JOBS = Gauge("deepsing_batch_queue_jobs", "Jobs waiting for the device.")
QUEUE_WAIT = Histogram(
    "deepsing_batch_queue_wait_seconds",
    "Time that a job waited before its batch was started.",
    WAITS_S,
    {"priority": PRIORITIES},
)
BATCH_SIZE = Histogram("deepsing_batch_size", "Pictures in a computed batch.", SIZES)
ITEM_SECONDS = Histogram("deepsing_batch_item_seconds", "Time of the device per picture of a batch.", ITEMS_S)
OUT_OF_MEMORY = Counter("deepsing_batch_out_of_memory", "Batches that ran out of memory; those after them are smaller.")


@dataclass(frozen=True)
class _PendingJob(Generic[Job, Result]):
    job: Job
    answer: asyncio.Future[Result]


class MicroBatcher(Generic[Job, Result]):
    """Runs jobs in batches on a device, in the order of a FairQueue.

    Args:
        compute: takes jobs, returns as many results in the same order; runs in the device's thread.
        device: the thread.
        max_batch: total weight of a batch; a heavier job runs alone.
        max_wait_s: how long a job may wait for others to share its batch while the device is free.
        max_queue: most jobs that may wait; one session may hold half of it.
        is_out_of_memory: whether a failure of `compute` means that batches have to be smaller for a while.
        abandon: called with a job whose caller has left, also if it is being computed, so that `compute` can skip it.
    """

    def __init__(
        self,
        compute: Callable[[list[Job]], Sequence[Result]],
        device: DeviceThread,
        *,
        max_batch: int,
        max_wait_s: float,
        max_queue: int,
        is_out_of_memory: Callable[[BaseException], bool] = lambda error: isinstance(error, MemoryError),
        abandon: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.max_batch = max_batch  # halved when memory runs out, doubled again after GROW_AFTER batches
        self._limit, self._batches_in_memory = max_batch, 0
        self._compute = compute
        self._device = device
        self._max_wait_s = max_wait_s
        self._is_out_of_memory, self._abandon = is_out_of_memory, abandon
        self._queue: FairQueue[_PendingJob[Job, Result]] = FairQueue(max_queue)
        self._pace_s = 0.0  # estimate of the shortest time for a unit of weight, from recent batches
        self._arrival = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def submit(
        self, job: Job, *, weight: int = 1, session: str = "", live: bool = False, timeout_s: float | None = None
    ) -> Result:
        """Waits for the job's turn and returns its result; if the caller is cancelled before that, nothing is computed.

        Args:
            job: goes to `compute`.
            weight: what it counts in a batch, e.g. its rows; >= 1.
            session: sessions get equal shares; "" is one that may fill the queue.
            live: whether the job has the priority that goes first.
            timeout_s: how long the caller will wait.

        Raises:
            QueueFull: too many jobs wait already.
            TimeoutError: `timeout_s` has passed, or the job could not be done within it and was not started.
        """
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        pending = _PendingJob[Job, Result](job, loop.create_future())
        ticket = Ticket(pending, weight, session, live, now_s + (inf if timeout_s is None else timeout_s), now_s)
        if ticket.is_late(now_s, self._pace_s):
            raise self._build_refusal()
        self._queue.put(ticket)
        QUEUE_JOBS.set(len(self._queue))
        self._arrival.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), context=Context())  # an empty one, not the first caller's
        try:
            async with asyncio.timeout(timeout_s):
                return await pending.answer
        finally:
            if not pending.answer.done() or pending.answer.cancelled():
                self._abandon(job)
            self._queue.drop(ticket)
            QUEUE_JOBS.set(len(self._queue))

    async def _work(self) -> None:
        while self._queue:
            await self._wait_for_batch()
            if late := self._queue.drop_late(asyncio.get_running_loop().time(), self._pace_s):
                refusal = self._build_refusal()
                for ticket in late:
                    ticket.job.answer.set_exception(refusal)
            batch = self._queue.take(self.max_batch)
            QUEUE_JOBS.set(len(self._queue))
            if batch:
                await self._run(batch)

    def _build_refusal(self) -> TimeoutError:
        self._pace_s *= PACE_FALL  # so that an estimate that is too high does not refuse jobs for ever
        return TimeoutError("the job cannot be done within its time")

    async def _wait_for_batch(self) -> None:
        while self._queue and self._queue.weight < self.max_batch:
            self._arrival.clear()
            try:
                async with asyncio.timeout_at(self._queue.oldest_s + self._max_wait_s):
                    await self._arrival.wait()
            except TimeoutError:
                return

    async def _run(self, batch: list[Ticket[_PendingJob[Job, Result]]]) -> None:
        wanted = [ticket for ticket in batch if not ticket.job.answer.done()]
        if not wanted:
            return
        weight, began_s = sum(ticket.weight for ticket in wanted), asyncio.get_running_loop().time()
        run = asyncio.ensure_future(self._device.run(self._compute_batch, [ticket.job.job for ticket in wanted]))
        await asyncio.wait({run})
        error = RuntimeError("the device is closed") if run.cancelled() else run.exception()
        self._adapt(weight, (asyncio.get_running_loop().time() - began_s) / weight, error)
        if error and len(wanted) > 1:
            middle = len(wanted) // 2  # one job that always fails must not fail the others
            await self._run(wanted[:middle])
            await self._run(wanted[middle:])
            return
        for position, ticket in enumerate(wanted):
            if ticket.job.answer.done():
                continue
            if error:
                ticket.job.answer.set_exception(error)
            else:
                ticket.job.answer.set_result(run.result()[position])

    def _adapt(self, weight: int, pace_s: float, error: BaseException | None) -> None:
        """Updates the estimate of the device's speed, and the size of the next batches."""
        if error is None:
            BATCH_SIZE.observe(weight)
            ITEM_SECONDS.observe(pace_s)
            self._pace_s = min(pace_s, PACE_RISE * self._pace_s) if self._pace_s else pace_s
            self._batches_in_memory += 1
            if self._batches_in_memory >= GROW_AFTER:
                self.max_batch, self._batches_in_memory = min(self._limit, 2 * self.max_batch), 0
        elif self._is_out_of_memory(error):
            OUT_OF_MEMORY.add()
            self.max_batch, self._batches_in_memory = max(1, min(self.max_batch, weight) // 2), 0

    def _compute_batch(self, jobs: list[Job]) -> Sequence[Result]:
        results = self._compute(jobs)
        if len(results) != len(jobs):
            raise ValueError(f"{len(results)} results came for {len(jobs)} jobs")
        return results
