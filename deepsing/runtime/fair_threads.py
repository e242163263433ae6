"""Runs long blocking work in threads, a few at a time: in turns, fair between callers, and none outlives its caller.

Source: start-time fair queueing (Goyal, Vin & Cheng 1996) between callers; least attained service (Nuyens & Wierman
2008) between the works of one caller, so that a short one never waits for a long one to end.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from deepsing.rpc.errors import ServiceError
from deepsing.runtime.fair_queue import QueueFull

__all__ = ["FairThreads", "Pause", "WorkStopped"]

SLICE_S = 0.05  # processor time of one turn
CHARGE_EVERY_S = 0.5  # processor time after which work that still runs is charged
Result = TypeVar("Result")
Pause = Callable[[], None]


class WorkStopped(Exception):
    """Raised by `pause` in the thread: nobody waits for the work any more, or it may not go on."""


class FairThreads:
    """Threads for work that pauses often.

    A work begins once it has a turn, and keeps its thread from then on; between two turns it waits in `pause`.

    Args:
        name: of the threads.
        turns: works that run at a time.
        most: works that may run and wait; a named caller may have half of them.
        first_s: processor time up to which the works of a caller are done in the order in which they came.
    """

    def __init__(self, name: str, turns: int, most: int, first_s: float = 0.0) -> None:
        self._free, self._most, self._first_s = turns, most, first_s
        self._threads = ThreadPoolExecutor(most, thread_name_prefix=name)
        self._lock = threading.Lock()  # guards what follows, and the fields of all works
        self._works: set[_Work] = set()
        self._waiting: list[_Work] = []
        self._count = 0
        self._spent_s: dict[str, float] = {}  # by caller with works: their time, on a common virtual clock

    async def run(
        self,
        work: Callable[[Pause], Result],
        *,
        caller: str = "",
        charge: Callable[[float], None] = lambda work_s: None,
    ) -> Result:
        """Runs a work to its end and returns its result. If this is cancelled, the work ends at its next pause.

        Args:
            work: blocks; calls `pause`, its argument, at least every tenth of a second.
            caller: callers get equal shares; "" is one that may have all places.
            charge: takes seconds of processor time, some while it runs and the rest at its end, also after a cancel;
                called in the event loop. If it raises a ServiceError, the work ends and the error is raised here.

        Raises:
            QueueFull: too many works wait already.
            Exception: what `work` or `charge` raised.
        """
        job = _Work(self, caller, lambda: work(job.pause), charge)
        self._add(job)
        try:
            return await job.answer  # type: ignore[no-any-return]
        finally:
            self.stop(job)

    def close(self) -> None:
        """Ends all works at their next pause."""
        for job in list(self._works):
            self.stop(job)
        self._threads.shutdown(wait=False)

    def _add(self, job: "_Work") -> None:
        with self._lock:
            own = sum(one.caller == job.caller for one in self._works)
            if len(self._works) >= self._most:
                raise QueueFull(f"{len(self._works)} such calls wait, the most there may be")
            if job.caller and own >= max(1, self._most // 2):
                raise QueueFull(f"{own} such calls of this caller wait, the most there may be")
            floor_s = min(self._spent_s.values(), default=0.0)
            self._spent_s[job.caller] = max(self._spent_s.get(job.caller, 0.0), floor_s)
            self._count += 1
            job.number = self._count
            self._works.add(job)
            self._waiting.append(job)
            self._give_turns()

    def stop(self, job: "_Work") -> None:
        """Ends a work at its next pause; one that has not begun never begins. Does nothing after its end."""
        with self._lock:
            job.stopped = True
            if job in self._waiting:
                self._waiting.remove(job)
                if job.begun:
                    job.turn.set()  # it wakes without a turn, and ends
                else:
                    self._remove(job)

    def _rank(self, job: "_Work") -> tuple[float, float, int]:
        return self._spent_s[job.caller], max(0.0, job.used_s - self._first_s), job.number

    def _give_turns(self) -> None:
        while self._free and self._waiting:
            job = min(self._waiting, key=self._rank)
            self._waiting.remove(job)
            self._free -= 1
            job.has_turn = True
            if job.begun:
                job.turn.set()
                continue
            job.begun = True
            try:
                self._threads.submit(job.run).add_done_callback(job.post)
            except RuntimeError as error:  # no thread can be started now, or it is closed
                self._free += 1
                self._remove(job)
                failed: Future[Any] = Future()
                failed.set_exception(error)
                job.post(failed)

    def _remove(self, job: "_Work") -> None:
        self._works.discard(job)
        if not any(one.caller == job.caller for one in self._works):
            self._spent_s.pop(job.caller, None)

    def take_turn(self, job: "_Work", used_s: float) -> bool:
        """Counts a turn that was used; False if the work now has to wait for its next one."""
        with self._lock:
            job.used_s += used_s
            self._spent_s[job.caller] += used_s
            if not self._waiting or self._rank(min(self._waiting, key=self._rank)) >= self._rank(job):
                return True
            job.turn.clear()
            job.has_turn = False
            self._free += 1
            self._waiting.append(job)
            self._give_turns()
            return job.has_turn

    def end(self, job: "_Work", used_s: float) -> None:
        """Counts the last turn of a work, and gives its place to another."""
        with self._lock:
            job.used_s += used_s
            self._spent_s[job.caller] += used_s
            self._free += job.has_turn
            self._remove(job)
            self._give_turns()


class _Work:
    """One work: its thread, its turns and its answer."""

    def __init__(
        self, threads: FairThreads, caller: str, work: Callable[[], Any], charge: Callable[[float], None]
    ) -> None:
        self.caller, self._threads, self._work, self._charge = caller, threads, work, charge
        self._loop, self._context = asyncio.get_running_loop(), contextvars.copy_context()
        self.answer: asyncio.Future[Any] = self._loop.create_future()
        self.turn, self.begun, self.has_turn, self.stopped = threading.Event(), False, False, False
        self.used_s, self.number = 0.0, 0
        self._turn_at_s = self._charged_s = 0.0  # on the thread's clock; of `used_s`

    def run(self) -> Any:
        """The thread; returns what the work does."""
        self._turn_at_s = time.thread_time()
        try:
            return None if self.stopped else self._context.run(self._work)
        finally:
            self._threads.end(self, time.thread_time() - self._turn_at_s)

    def pause(self) -> None:
        """Lets others have their turn. Raises WorkStopped."""
        if self.stopped:
            raise WorkStopped
        used_s = time.thread_time() - self._turn_at_s
        if used_s < SLICE_S:
            return
        if not self._threads.take_turn(self, used_s):
            self.turn.wait()
        self._turn_at_s = time.thread_time()
        if self.used_s - self._charged_s >= CHARGE_EVERY_S:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._charge_some)
        if self.stopped:
            raise WorkStopped

    def post(self, done: "Future[Any]") -> None:
        """Passes the answer to the event loop, if that still runs."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._answer, done)

    def _charge_some(self) -> None:
        """Charges what was not charged yet; a refusal ends the work."""
        work_s, self._charged_s = self.used_s - self._charged_s, self.used_s
        try:
            self._context.copy().run(self._charge, work_s)
        except ServiceError as refusal:
            if not self.answer.done():
                self.answer.set_exception(refusal)
            self._threads.stop(self)

    def _answer(self, done: "Future[Any]") -> None:
        self._charge_some()
        failure = done.exception()
        if self.answer.done():
            return
        if failure is not None:
            self.answer.set_exception(failure)
        else:
            self.answer.set_result(done.result())
