"""Gathers jobs of many callers into batches for one device: fair, bounded, and never for callers who have gone."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from deepsing.runtime.onnx import DeviceThread

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
    arrived: float
    answer: asyncio.Future[Result]
    turn: float = 0.0


@dataclass
class _Lane(Generic[Job, Result]):
    """Jobs of one priority, in an order that gives every session the same share (start-time fair queueing)."""

    tickets: list[_Ticket[Job, Result]] = field(default_factory=list)
    now: float = 0.0  # virtual time: the turn that was served last
    ends: dict[str, float] = field(default_factory=dict)  # per session: when its last job would end, virtually

    def put(self, ticket: _Ticket[Job, Result]) -> None:
        ticket.turn = max(self.now, self.ends.get(ticket.session, 0.0))
        self.ends[ticket.session] = ticket.turn + ticket.weight
        self.tickets.append(ticket)
        self.tickets.sort(key=lambda waiting: waiting.turn)  # stable: same turn, first come

    def pop(self) -> _Ticket[Job, Result]:
        ticket = self.tickets.pop(0)
        self.now = ticket.turn
        self.ends = {session: end for session, end in self.ends.items() if end > self.now}
        return ticket


class MicroBatcher(Generic[Job, Result]):
    """Runs jobs in batches on a device.

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
        self._live: _Lane[Job, Result] = _Lane()
        self._offline: _Lane[Job, Result] = _Lane()
        self._arrival = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def submit(
        self, job: Job, *, weight: int = 1, session: str = "", live: bool = False, timeout_s: float | None = None
    ) -> Result:
        """Waits for its turn and returns the job's result; if the caller is cancelled before it, nothing is computed.

        Args:
            job: goes to `compute`.
            weight: what it counts in a batch, e.g. its rows; >= 1.
            session: shares are equal between sessions, by weight; "" is one that may fill the queue.
            live: goes before all that is not.
            timeout_s: how long the caller will wait.

        Raises:
            QueueFull: there is no room to wait.
            TimeoutError: `timeout_s` is over.
        """
        lane = self._live if live else self._offline
        self._check_room(session)
        loop = asyncio.get_running_loop()
        ticket = _Ticket[Job, Result](job, weight, session, loop.time(), loop.create_future())
        lane.put(ticket)
        self._arrival.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            async with asyncio.timeout(timeout_s):
                return await ticket.answer
        finally:
            if ticket in lane.tickets:
                lane.tickets.remove(ticket)

    def _waiting(self) -> list[_Ticket[Job, Result]]:
        return self._live.tickets + self._offline.tickets

    def _check_room(self, session: str) -> None:
        waiting = self._waiting()
        if len(waiting) >= self._max_queue:
            raise QueueFull(f"{len(waiting)} jobs wait, the most there may be")
        held = sum(ticket.session == session for ticket in waiting)
        if session and held >= max(1, self._max_queue // 2):
            raise QueueFull(f"{held} jobs of this session wait, the most there may be")

    async def _work(self) -> None:
        while self._waiting():
            await self._wait_for_company()
            batch = self._take()
            if batch:
                await self._run(batch)

    async def _wait_for_company(self) -> None:
        while waiting := self._waiting():
            self._arrival.clear()
            until = min(ticket.arrived for ticket in waiting) + self._max_wait_s
            if sum(ticket.weight for ticket in waiting) >= self.max_batch or until <= asyncio.get_running_loop().time():
                return
            try:
                async with asyncio.timeout_at(until):
                    await self._arrival.wait()
            except TimeoutError:
                return

    def _take(self) -> list[_Ticket[Job, Result]]:
        batch: list[_Ticket[Job, Result]] = []
        for lane in (self._live, self._offline):
            while lane.tickets:
                if batch and sum(ticket.weight for ticket in batch) + lane.tickets[0].weight > self.max_batch:
                    return batch
                batch.append(lane.pop())
        return batch

    async def _run(self, batch: list[_Ticket[Job, Result]]) -> None:
        wanted = [ticket for ticket in batch if not ticket.answer.done()]
        if not wanted:
            return
        run = asyncio.ensure_future(self._device.run(self._computed, [ticket.job for ticket in wanted]))
        await asyncio.wait({run})
        error = RuntimeError("the device is closed") if run.cancelled() else run.exception()
        if error and len(wanted) > 1:
            if self._is_out_of_memory(error):
                self.max_batch = max(1, min(self.max_batch, sum(ticket.weight for ticket in wanted)) // 2)
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
