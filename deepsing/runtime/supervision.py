"""Keeps background tasks running: one that fails is logged, started again, and seen in health and metrics."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from deepsing.telemetry.metrics import Gauge

__all__ = ["find_failing", "supervise"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 4.0
SETTLED_S = 5.0  # a task that has run for so long since its last failure is well again
TASKS = Gauge(
    "deepsing_background_tasks",
    "Background tasks of the process; failing: it failed within the last seconds, and is started again.",
    {"state": ("ok", "failing")},
)
_failing: dict[str, int] = {}  # how many tasks of each name are failing
logger = logging.getLogger(__name__)


def find_failing() -> list[str]:
    """Names of the tasks that have failed and are not well again yet."""
    return sorted(_failing)


async def supervise(name: str, work: Callable[[], Awaitable[None]], expected: tuple[type[Exception], ...] = ()) -> None:
    """Does something that should never end, again and again, until it is cancelled.

    Args:
        name: for the log and find_failing().
        work: called anew after each failure; to return is to fail.
        expected: errors that say enough without a traceback.
    """
    pause_s, loop = FIRST_PAUSE_S, asyncio.get_running_loop()
    state = _State(name)
    try:
        while True:
            settling, began_s = loop.call_later(SETTLED_S, state.set_failing, False), loop.time()
            try:
                (outcome,) = await asyncio.gather(work(), return_exceptions=True)
            finally:
                settling.cancel()
            state.set_failing(True)
            if loop.time() - began_s > SETTLED_S:
                pause_s = FIRST_PAUSE_S
            _log_failure(name, outcome, pause_s, expected)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    finally:
        state.close()


def _log_failure(name: str, outcome: object, pause_s: float, expected: tuple[type[Exception], ...]) -> None:
    error = outcome if isinstance(outcome, BaseException) else RuntimeError("it ended by itself")
    trace = None if isinstance(error, expected) else error
    logger.error("the background task %s failed, again in %g s: %s", name, pause_s, error, exc_info=trace)


class _State:
    """Whether one task is failing."""

    def __init__(self, name: str) -> None:
        self._name, self._is_failing = name, False
        TASKS.add(1, "ok")

    def set_failing(self, is_failing: bool) -> None:
        if is_failing == self._is_failing:
            return
        self._is_failing = is_failing
        TASKS.add(-1 if is_failing else 1, "ok")
        TASKS.add(1 if is_failing else -1, "failing")
        _failing[self._name] = _failing.get(self._name, 0) + (1 if is_failing else -1)
        if not _failing[self._name]:
            del _failing[self._name]

    def close(self) -> None:
        self.set_failing(False)
        TASKS.add(-1, "ok")
