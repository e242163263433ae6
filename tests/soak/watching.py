"""Samples the resources of processes over time, and tests whether they grow."""

__all__ = ["Census", "ProcessUsage", "Verdict", "cpu_s", "fit_verdict"]

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from bench import processes

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
WARM_UP_SHARE = 1 / 4  # of the run, not tested: arenas, caches and thread pools fill
# The most that the trend may rise over the rest of the run, by what is held. Noise of a flat process is far below.
ALLOWED = {"rss_mib": 6.0, "threads": 3.0, "files": 6.0}


@dataclass(frozen=True)
class ProcessUsage:
    """The resources of one process at one time."""

    rss_mib: float
    threads: int
    files: int

    @classmethod
    def read(cls, pid: int) -> "ProcessUsage":
        """Reads it from the kernel."""
        folder = Path(f"/proc/{pid}")
        pages = int((folder / "statm").read_text().split()[1])
        return cls(pages * PAGE_BYTES / 2**20, len(os.listdir(folder / "task")), len(os.listdir(folder / "fd")))


@dataclass
class Census:
    """Samples of all processes, and of the folder that they put temporary files into."""

    pids: Mapping[str, int]
    temporary: Path
    times_s: list[float] = field(default_factory=list)
    usage: dict[str, list[ProcessUsage]] = field(default_factory=dict)
    temporary_count: list[int] = field(default_factory=list)
    rests: list[int] = field(default_factory=list)  # places of samples taken at rest

    def sample(self, time_s: float, *, at_rest: bool = False) -> None:
        """Takes one sample."""
        if at_rest:
            self.rests.append(len(self.times_s))
        self.times_s.append(time_s)
        self.temporary_count.append(len(self.list_leftovers()))
        for name, pid in self.pids.items():
            self.usage.setdefault(name, []).append(ProcessUsage.read(pid))

    def list_leftovers(self) -> list[str]:
        """Temporary files and folders, without the composer's own folder and its cached songs."""
        paths = [*self.temporary.glob("*"), *self.temporary.glob("deepsing-composer-*/*")]
        kept = [path for path in paths if path.match("deepsing-composer-*") or path.match("deepsing-composer-*/held-*")]
        return sorted(str(path.relative_to(self.temporary)) for path in paths if path not in kept)

    def series(self, name: str, what: str) -> list[float]:
        """One resource of one process, over time."""
        return [float(getattr(held, what)) for held in self.usage[name]]


@dataclass(frozen=True)
class Verdict:
    """Whether one resource grew: a least-squares line through the samples at rest after the warm-up."""

    service: str
    what: str
    start: float  # at the end of the warm-up, by the trend
    end: float
    highest: float
    allowed: float

    @property
    def growth(self) -> float:
        """The trend's rise over the run."""
        return self.end - self.start

    @property
    def flat(self) -> bool:
        """Whether the rise is within the limit; shrinking is."""
        return self.growth <= self.allowed


def fit_verdict(service: str, what: str, times_s: Sequence[float], values: Sequence[float]) -> Verdict:
    """Fits a line to the samples at rest after the warm-up."""
    warm_s = WARM_UP_SHARE * times_s[-1]
    judged = [(time_s, value) for time_s, value in zip(times_s, values, strict=True) if time_s >= warm_s]
    time, floor = np.array(judged).T
    slope, base = np.polyfit(time, floor, 1) if len(time) > 2 else (0.0, median(floor))
    start, end = (float(base + slope * at) for at in (time[0], time[-1]))
    return Verdict(service, what, start, end, max(values), ALLOWED[what])


def cpu_s(pids: Sequence[int]) -> float:
    """Processor time that the processes have used so far, seconds."""
    return sum(processes.cpu_s(pid) for pid in pids)
