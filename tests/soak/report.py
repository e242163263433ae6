"""The report of a soak run: a table, a chart over time, and JSON."""

__all__ = ["Report"]

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.table import Table

from tests.soak.watching import ALLOWED, Census, Verdict, fit_verdict


@dataclass(frozen=True)
class Report:
    """A finished run."""

    census: Census
    done: Counter[str]
    failures: list[str]
    cpu_share: float  # of one core, all processes of the services
    left: list[str]  # temporary files and folders that remained after all calls
    load_s: float  # how long the load ran

    def verdicts(self) -> list[Verdict]:
        """The trend of each resource of each service."""
        times_s = [self.census.times_s[place] for place in self.census.rests]
        found = []
        for service in self.census.pids:
            for what in ALLOWED:
                values = self.census.series(service, what)
                verdict = fit_verdict(service, what, times_s, [values[place] for place in self.census.rests])
                found.append(replace(verdict, highest=max(values)))
        return found

    @property
    def passed(self) -> bool:
        """Whether nothing grew, nothing failed and nothing was left."""
        return not self.failures and not self.left and all(one.flat for one in self.verdicts())

    def table(self) -> Table:
        """The report as text."""
        title = f"{self.load_s / 60:.1f} min of load, {sum(self.done.values())} calls, {self.cpu_share:.0%} of a core"
        table = Table("service", "what", "after warm-up", "end", "growth", "allowed", "highest", "", title=title)
        for one in self.verdicts():
            numbers = (f"{value:.1f}" for value in (one.start, one.end, one.growth, one.allowed, one.highest))
            table.add_row(one.service, one.what, *numbers, "flat" if one.flat else "GROWS")
        return table

    def to_json(self) -> str:
        """The report as JSON, with all samples."""
        facts = {
            "passed": self.passed,
            "load_s": round(self.load_s, 1),
            "calls": dict(self.done),
            "failures": self.failures,
            "cpu_share": round(self.cpu_share, 4),
            "left": self.left,
            "verdicts": [asdict(one) | {"growth": one.growth, "flat": one.flat} for one in self.verdicts()],
            "rests": self.census.rests,
            "times_s": [round(time_s, 1) for time_s in self.census.times_s],
            "temporary_count": self.census.temporary_count,
            "samples": {name: {what: self.census.series(name, what) for what in ALLOWED} for name in self.census.pids},
        }
        return json.dumps(facts, indent=1)

    def draw(self, path: Path) -> None:
        """Writes a PNG: memory, threads and open files of each service, and temporary folders, over time."""
        from matplotlib.figure import Figure

        minutes = [time_s / 60 for time_s in self.census.times_s]
        figure = Figure(figsize=(9, 10), layout="constrained")
        axes = figure.subplots(4, 1, sharex=True)
        for axis, what in zip(axes, ALLOWED, strict=False):
            for name in self.census.pids:
                axis.plot(minutes, self.census.series(name, what), label=name)
                at_rest = [(minutes[place], self.census.series(name, what)[place]) for place in self.census.rests]
                axis.plot(*zip(*at_rest, strict=True), "o", color=axis.lines[-1].get_color())
            axis.set(ylabel=what.replace("_mib", ", MiB"), ylim=(0, None))
        axes[0].legend(ncols=4, fontsize="small")
        axes[3].plot(minutes, self.census.temporary_count, color="grey")
        axes[3].set(ylabel="temporary entries", xlabel="minutes", ylim=(0, None))
        figure.savefig(path, dpi=100)
