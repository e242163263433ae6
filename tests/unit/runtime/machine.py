"""A device that tests of the batcher can hold up, and how they queue jobs for it."""

import asyncio
import threading
from collections.abc import Callable

from deepsing.runtime.batching import MicroBatcher

__all__ = ["Machine", "submit_job"]


class Machine:
    """A device that works only while its gate is open, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.fails: Callable[[list[int]], Exception | None] = lambda jobs: None

    def compute(self, jobs: list[int]) -> list[int]:
        self.batches.append(jobs)
        self.busy.set()
        assert self.gate.wait(10)
        if error := self.fails(jobs):
            raise error
        return [job * 10 for job in jobs]


async def submit_job(batcher: MicroBatcher[int, int], job: int, **options: object) -> asyncio.Task[int]:
    """Returns a job that is in the queue."""
    task = asyncio.create_task(batcher.submit(job, **options))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    return task
