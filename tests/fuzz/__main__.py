"""Throws mutated songs and malformed messages at deepsing: `make fuzz SEED=1 COUNT=10000 MESSAGES=5000`.

Seed and number decide everything, so a finding is repeated by `--song NUMBER`, or by `--method NAME --call NUMBER`.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from deepsing.local.failures import CommandError
from tests.fuzz.decoding import Outcome
from tests.fuzz.wire import GROWTH_MIB, Wire, make_all_calls
from tests.fuzz.workers import decode_mutants

__all__ = ["main"]

SHOWN = 5  # slowest and largest
SONGS_OVER_THE_WIRE = 20  # one of so many mutated songs also goes to Probe, one to Analyze


def main(arguments: list[str]) -> int:
    """Fuzzes, reports; 1 where something broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="decides every mutation (default 1)")
    parser.add_argument("--count", type=int, default=10_000, help="mutated songs (default 10000)")
    parser.add_argument("--messages", type=int, default=5_000, help="malformed calls of each RPC (default 5000)")
    parser.add_argument("--song", type=int, help="only the mutated song of this number")
    parser.add_argument("--method", default="", help="only this RPC")
    parser.add_argument("--call", type=int, help="only the call of this number")
    wanted = parser.parse_args(arguments)
    console, passed = Console(width=140), []
    if not wanted.method:
        numbers = range(wanted.count) if wanted.song is None else [wanted.song]
        passed.append(_songs(wanted.seed, numbers, console))
    if wanted.song is None and wanted.messages:
        numbers = range(wanted.messages) if wanted.call is None else [wanted.call]
        songs = range(0 if wanted.call is not None else wanted.count // SONGS_OVER_THE_WIRE)
        passed.append(_calls(wanted.seed, numbers, songs, wanted.method, console))
    console.print("passed" if all(passed) else "NOT passed", style="bold")
    return 0 if all(passed) else 1


def _songs(seed: int, numbers: Iterable[int], console: Console) -> bool:
    began, found = time.monotonic(), list[Outcome]()
    for outcome in decode_mutants(seed, numbers):
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
    console.print(f"{faults} of {len(found)} songs broke a promise", style="bold")
    return not faults


def _calls(seed: int, numbers: Iterable[int], songs: range, only: str, console: Console) -> bool:
    began = time.monotonic()
    try:
        wire = asyncio.run(make_all_calls(seed, numbers, songs, only))
    except CommandError as death:
        console.print(f"a service died: {death}", style="red", markup=False)
        return False
    _report(wire, f"seed {seed}, {time.monotonic() - began:.0f} s", console)
    return wire.passed


def _report(wire: Wire, title: str, console: Console) -> None:
    table = Table("RPC", "calls", "answers", title=f"malformed calls and mutated songs over the wire, {title}")
    for method, counts in sorted(wire.counts.items()):
        answers = ", ".join(f"{what.replace('INVALID_ARGUMENT ', '')} {count}" for what, count in counts.most_common())
        table.add_row(method, str(counts.total()), answers)
    console.print(table)
    for one in wire.findings[:50]:
        console.print(f"{one.method} {one.number}: {one.answer.fault}", style="red", markup=False)
    for one in wire.slowest:
        console.print(f"slowest: {one.answer.wall_s:.1f} s  {one.method} {one.number} {one.answer.what}", markup=False)
    for one in wire.memory:
        flat = "flat" if one.growth <= GROWTH_MIB else "GROWS"
        console.print(
            f"memory of {one.service}: {one.start:.0f} to {one.end:.0f} MiB, at most {one.highest:.0f}: {flat}"
        )
    console.print(f"temporary entries left: {wire.left or 'none'}", markup=False)
    total = sum(counts.total() for counts in wire.counts.values())
    console.print(f"{len(wire.findings)} of {total} answers broke a promise", style="bold")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
