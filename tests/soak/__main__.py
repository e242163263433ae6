"""Mixed load on the four real services while their resources are sampled: `make soak MINUTES=30`.

Ten times the load pauses until the services have tidied up. Passes where memory, threads and open files at these rests
stay flat (least squares after a warm-up of a quarter of the run; see `watching.fit_verdict`), no call fails that should
not, and no temporary file is left.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console

from deepsing.local.services import NAMES, LocalServices, find_free_ports
from tests.soak.load import KINDS, Caller
from tests.soak.report import Report
from tests.soak.watching import Census, cpu_s

__all__ = ["main"]

CALLERS = 3  # at a time
SAMPLE_S = 3.0
CALL_LIMIT_S = 120.0
PARTS = 10  # of the load, each with a rest behind it
REST_S = 40.0  # services tidy up every 30 s
AHEAD_S = 3.0  # of processor time that may be used before its share is looked at


def main(arguments: list[str]) -> int:
    """Runs the load and reports; returns 1 if something grew, failed or was left behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="of load (default 30)")
    parser.add_argument("--share", type=float, default=0.25, help="of one core, at most (default 0.25)")
    parser.add_argument("--seed", type=int, default=1, help="decides songs, options and order (default 1)")
    parser.add_argument("--out", type=Path, default=Path("build/soak"), help="folder for soak.json and soak.png")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        temporary = Path(folder) / "tmp"  # of the services alone
        (Path(folder) / "songs").mkdir()
        temporary.mkdir()
        os.environ["TMPDIR"] = str(temporary)
        report = asyncio.run(_soak(Path(folder), wanted.minutes * 60, wanted.share, wanted.seed))
    wanted.out.mkdir(parents=True, exist_ok=True)
    (wanted.out / "soak.json").write_text(report.to_json(), encoding="utf-8")
    report.draw(wanted.out / "soak.png")
    console = Console()
    console.print(report.table())
    console.print(" · ".join(f"{count} {kind}" for kind, count in sorted(report.done.items())))
    for failure in report.failures[:20]:
        console.print(f"failed: {failure}", style="red")
    console.print(
        f"seed {wanted.seed}; temporary entries left: {report.left or 'none'}; {wanted.out}/soak.json, soak.png"
    )
    console.print("passed" if report.passed else "NOT passed", style="bold")
    return 0 if report.passed else 1


async def _soak(folder: Path, seconds: float, share: float, seed: int) -> Report:
    logs = folder / "logs"
    async with LocalServices(find_free_ports(dict.fromkeys(NAMES, 0)), logs=logs) as services:
        census = Census(services.pids, folder / "tmp")
        pids, began = list(services.pids.values()), time.monotonic()
        watching = asyncio.create_task(_watch(census, began))
        done: Counter[str] = Counter()
        failures: list[str] = []
        callers = [
            Caller(services.targets["composer"], folder / "songs", seed * 1000 + number) for number in range(CALLERS)
        ]
        used_s = load_s = 0.0
        for _ in range(PARTS):
            load = _Load(pids, seconds / PARTS, share)
            await services.watch(_gather(load.run_calls(caller, done, failures) for caller in callers))
            load_s += load.time_elapsed_s()
            used_s += load.cpu_time_s()
            await asyncio.sleep(REST_S)
            census.sample(time.monotonic() - began, at_rest=True)
        watching.cancel()
        await _gather(caller.close() for caller in callers)
        return Report(census, done, failures, used_s / load_s, census.list_leftovers(), load_s)


class _Load:
    """A part of the load, which begins now.

    Args:
        pids: of the services.
        seconds: how long.
        share: of one core that they may use.
    """

    def __init__(self, pids: list[int], seconds: float, share: float) -> None:
        self.pids, self.seconds, self.share = pids, seconds, share
        self.began, self.before_s = time.monotonic(), cpu_s(pids)

    def time_elapsed_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def cpu_time_s(self) -> float:
        """Processor time that the services have used since then."""
        return cpu_s(self.pids) - self.before_s

    async def run_calls(self, caller: Caller, done: Counter[str], failures: list[str]) -> None:
        """Makes one call after another until the part ends."""
        while (time_elapsed_s := self.time_elapsed_s()) < self.seconds:
            if self.cpu_time_s() > self.share * time_elapsed_s + AHEAD_S:
                await asyncio.sleep(0.5)
                continue
            await _one_call(caller, done, failures)


async def _gather(work) -> None:  # type: ignore[no-untyped-def]
    await asyncio.gather(*work)


async def _one_call(caller: Caller, done: Counter[str], failures: list[str]) -> None:
    kind = _choose_kind(caller.choose)
    try:
        await asyncio.wait_for(KINDS[kind][1](caller), CALL_LIMIT_S)
    except Exception as error:
        failures.append(f"{kind}: {type(error).__name__}: {str(error)[:300]}")
    done[kind] += 1


def _choose_kind(choose: random.Random) -> str:
    return choose.choices(list(KINDS), [often for often, _ in KINDS.values()])[0]


async def _watch(census: Census, began: float) -> None:
    while True:
        census.sample(time.monotonic() - began)
        await asyncio.sleep(SAMPLE_S)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
