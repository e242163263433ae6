"""Gathers jobs of many callers into batches for one device: fair, bounded, and never for callers who have gone."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

from deepsing.runtime.onnx import DeviceThread
from deepsing.telemetry.batches import BATCH_SIZE, ITEM_SECONDS, OUT_OF_MEMORY, QUEUE_JOBS

__all__ = ["MicroBatcher", "QueueFull"]

Job = TypeVar("Job")
Result = TypeVar("Result")


class QueueFull(Exception):
    """As many jobs wait as may, in all or of this session; try again later."""


@dataclass(eq=False)
class _Ticket(Generic[Job, Result]):
    job: Job
    weight: int
    session: str
    live: bool
    turn: float  # its place between the sessions of its priority
    arrived: float
    answer: asyncio.Future[Result]


class MicroBatcher(Generic[Job, Result]):
    """Runs jobs in batches on a device: live ones first, then in equal shares by weight for every session.

    The order between sessions is that of start-time fair queueing.

    Args:
        compute: takes jobs, returns as many results in the same order; runs in the device's thread.
        device: the thread.
        max_batch: total weight of a batch; a heavier job runs alone.
        max_wait_s: how long a job may wait for company while the device is free.
        max_queue: most jobs that may wait; one session may hold half of it.
        is_out_of_memory: tells which failures of `compute` ask for smaller batches from then on.
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
    ) -> None:
        self.max_batch = max_batch  # halved when memory runs out
        self._compute = compute
        self._device = device
        self._max_wait_s = max_wait_s
        self._max_queue = max_queue
        self._is_out_of_memory = is_out_of_memory
        self._tickets: list[_Ticket[Job, Result]] = []  # those who wait, the next one first
        self._turns = {True: 0.0, False: 0.0}  # by priority: the turn served last
        self._ends: dict[tuple[bool, str], float] = {}  # by priority and session: the turn after its last job
        self._arrival = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def submit(
        self, job: Job, *, weight: int = 1, session: str = "", live: bool = False, timeout_s: float | None = None
    ) -> Result:
        """Waits for its turn and returns the job's result; if the caller is cancelled before it, nothing is computed.

        Args:
            job: goes to `compute`.
            weight: what it counts in a batch, e.g. its rows; >= 1.
            session: who shares; "" is one that may fill the queue.
            live: goes before all that is not.
            timeout_s: how long the caller will wait.

        Raises:
            QueueFull: there is no room to wait.
            TimeoutError: `timeout_s` is over.
        """
        ticket = self._enqueue(job, weight, session, live)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), context=Context())  # not the first caller's
        try:
            async with asyncio.timeout(timeout_s):
                return await ticket.answer
        finally:
            if ticket in self._tickets:
                self._tickets.remove(ticket)
                QUEUE_JOBS.set(len(self._tickets))

    def _enqueue(self, job: Job, weight: int, session: str, live: bool) -> _Ticket[Job, Result]:
        held = sum(ticket.session == session for ticket in self._tickets)
        if len(self._tickets) >= self._max_queue:
            raise QueueFull(f"{len(self._tickets)} jobs wait, the most there may be")
        if session and held >= max(1, self._max_queue // 2):
            raise QueueFull(f"{held} jobs of this session wait, the most there may be")
        loop = asyncio.get_running_loop()
        turn = max(self._turns[live], self._ends.get((live, session), 0.0))
        ticket = _Ticket[Job, Result](job, weight, session, live, turn, loop.time(), loop.create_future())
        self._ends[live, session] = turn + weight
        self._tickets.append(ticket)
        self._tickets.sort(key=lambda waiting: (not waiting.live, waiting.turn))  # stable: else first come
        self._arrival.set()
        QUEUE_JOBS.set(len(self._tickets))
        return ticket

    async def _work(self) -> None:
        while self._tickets:
            await self._wait_for_company()
            if batch := self._take():
                await self._run(batch)

    async def _wait_for_company(self) -> None:
        while self._tickets and sum(ticket.weight for ticket in self._tickets) < self.max_batch:
            self._arrival.clear()
            try:
                async with asyncio.timeout_at(min(ticket.arrived for ticket in self._tickets) + self._max_wait_s):
                    await self._arrival.wait()
            except TimeoutError:
                return

    def _take(self) -> list[_Ticket[Job, Result]]:
        batch: list[_Ticket[Job, Result]] = []
        weight = 0
        while self._tickets and (not batch or weight + self._tickets[0].weight <= self.max_batch):
            ticket = self._tickets.pop(0)
            batch.append(ticket)
            weight += ticket.weight
            self._turns[ticket.live] = ticket.turn
        QUEUE_JOBS.set(len(self._tickets))
        self._ends = {key: end for key, end in self._ends.items() if end > self._turns[key[0]]}
        return batch

    async def _run(self, batch: list[_Ticket[Job, Result]]) -> None:
        wanted = [ticket for ticket in batch if not ticket.answer.done()]
        if not wanted:
            return
        weight, began = sum(ticket.weight for ticket in wanted), time.perf_counter()
        run = asyncio.ensure_future(self._device.run(self._computed, [ticket.job for ticket in wanted]))
        await asyncio.wait({run})
        error = RuntimeError("the device is closed") if run.cancelled() else run.exception()
        if not error:
            BATCH_SIZE.observe(weight)
            ITEM_SECONDS.observe((time.perf_counter() - began) / weight)
        if error and len(wanted) > 1:
            if self._is_out_of_memory(error):
                OUT_OF_MEMORY.add()
                self.max_batch = max(1, min(self.max_batch, weight) // 2)
            middle = len(wanted) // 2  # a job that always fails must not take others with it
            await self._run(wanted[:middle])
            await self._run(wanted[middle:])
            return
        for position, ticket in enumerate(wanted):
            if ticket.answer.done():
                continue
            if error:
                ticket.answer.set_exception(error)
            else:
                ticket.answer.set_result(run.result()[position])

    def _computed(self, jobs: list[Job]) -> Sequence[Result]:
        results = self._compute(jobs)
        if len(results) != len(jobs):
            raise ValueError(f"{len(results)} results came for {len(jobs)} jobs")
        return results
