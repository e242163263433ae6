"""Throws damaged songs and malformed messages at deepsing: `make fuzz SEED=1 COUNT=10000 MESSAGES=5000`.

Every finding is named by seed and number; `--only NUMBER` repeats one song.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from tests.fuzz.decoding import Outcome
from tests.fuzz.workers import outcomes_of

__all__ = ["main"]

SHOWN = 5  # slowest and largest


def main(arguments: list[str]) -> int:
    """Fuzzes, reports; 1 where something broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="decides every mutation (default 1)")
    parser.add_argument("--count", type=int, default=10_000, help="mutated songs (default 10000)")
    parser.add_argument("--only", type=int, help="the number of one mutated song")
    wanted = parser.parse_args(arguments)
    numbers = range(wanted.count) if wanted.only is None else [wanted.only]
    return 0 if _songs(wanted.seed, numbers, Console()) else 1


def _songs(seed: int, numbers: Iterable[int], console: Console) -> bool:
    began, found = time.monotonic(), list[Outcome]()
    for outcome in outcomes_of(seed, numbers):
        found.append(outcome)
        if outcome.fault:
            console.print(f"song {outcome.number} ({outcome.recipe}): {outcome.fault}", style="red", markup=False)
    counts = Counter(outcome.what for outcome in found)
    table = Table("songs", "", title=f"{len(found)} mutated songs, seed {seed}, {time.monotonic() - began:.0f} s")
    for what, count in counts.most_common():
        table.add_row(what, str(count))
    console.print(table)
    for name, key in (("processor time, s", "cpu_s"), ("memory, MiB more", "grown_mib")):
        for one in sorted(found, key=lambda outcome: -getattr(outcome, key))[:SHOWN]:
            console.print(f"{name}: {getattr(one, key):.2f}  song {one.number} ({one.recipe}) {one.what}", markup=False)
    faults = sum(bool(outcome.fault) for outcome in found)
    console.print(f"{faults} broke a promise", style="bold")
    return not faults


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
