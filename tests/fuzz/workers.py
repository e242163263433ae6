"""Runs mutants in processes of their own, so that a crash or a hang costs one worker and is known by its number."""

__all__ = ["decode_mutants"]

import multiprocessing
import signal
import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from tests.fuzz.decoding import Outcome, decode, limit_memory
from tests.fuzz.mutations import bases, make_mutant

WORKERS = 2
LIMIT_S = 60.0  # of wall time for one mutant, on a busy machine
Job = tuple[int, float]  # number, when it began


class _Worker:
    """A process that decodes the mutants whose numbers it is sent."""

    def __init__(self, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.seed = seed
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, seed), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Job | None = None

    def take(self, number: int) -> None:
        self.job = (number, time.monotonic())
        self.pipe.send(number)

    def outcome(self) -> Outcome | None:
        """What came of its job; None while it is still at it."""
        assert self.job is not None
        number, began = self.job
        if self.pipe.poll():
            try:
                return self.pipe.recv()  # type: ignore[no-any-return]
            except (EOFError, ConnectionResetError):
                return self._record_crash(number)
        if not self.process.is_alive():
            return self._record_crash(number)
        if time.monotonic() - began > LIMIT_S:
            self.process.kill()
            return Outcome.from_crash(make_mutant(self.seed, number), f"took more than {LIMIT_S:g} s")
        return None

    def _record_crash(self, number: int) -> Outcome:
        self.process.join()
        code = self.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Outcome.from_crash(make_mutant(self.seed, number), f"killed its process: {how}")

    def close(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def decode_mutants(seed: int, numbers: Iterable[int]) -> Iterator[Outcome]:
    """Decodes the mutants of these numbers; outcomes come in the order they are ready."""
    waiting = iter(numbers)
    workers = [_Worker(seed) for _ in range(WORKERS)]
    try:
        idle = list(workers)
        while True:
            while idle and (number := next(waiting, None)) is not None:
                idle.pop().take(number)
            busy = [worker for worker in workers if worker.job is not None]
            if not busy:
                return
            wait([worker.pipe for worker in busy], timeout=1.0)
            for worker in busy:
                if (outcome := worker.outcome()) is None:
                    continue
                yield outcome
                worker.job = None
                if outcome.what == "lost":
                    worker.close()
                    workers.remove(worker)
                    worker = _Worker(seed)
                    workers.append(worker)
                idle.append(worker)
    finally:
        for worker in workers:
            worker.close()


def _serve(pipe: Connection, seed: int) -> None:
    bases()
    limit_memory()
    try:
        while True:
            pipe.send(decode(make_mutant(seed, pipe.recv())))
    except (EOFError, OSError):  # the other end is closed
        return
