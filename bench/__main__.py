"""Measures speed and memory of the whole: `python -m bench`, or `make bench`.

A table for people, one JSON object for programs (--json). Nothing is asserted. Numbers from a busy machine, or from
shared processors, are worth their ratios only; those that are compared with each other are taken in turn, in one run.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from bench.batching import measure_batching
from bench.biggan import measure_biggan
from bench.chain import measure_chain
from bench.leaving import measure_leaving
from bench.listening import measure_listening
from bench.live import measure_live
from bench.measurement import Measurement, build_table
from bench.memory import measure_memory
from bench.relay import measure_relay
from bench.sessions import measure_sessions
from bench.starting import measure_starting
from bench.stories import measure_first_frames, measure_stories
from bench.throttled import measure_throttled
from deepsing.client import DeepsingError
from deepsing.local.failures import CommandError

__all__ = ["build_parser", "main"]

PARTS: dict[str, Callable[[bool], Awaitable[list[Measurement]]]] = {
    "stories": measure_stories,
    "first-frame": measure_first_frames,
    "live": measure_live,
    "throttled": measure_throttled,
    "chain": measure_chain,
    "relay": measure_relay,
    "sessions": measure_sessions,
    "batching": measure_batching,
    "leaving": measure_leaving,
    "memory": measure_memory,
    "starting": measure_starting,
    "listening": measure_listening,
    "biggan": measure_biggan,
}
EXAMPLES = """examples:
  deepsing bench --quick
  deepsing bench stories first-frame --json
  deepsing bench relay sessions --report build/bench.json
"""
EXTRA = ("biggan",)  # measured only when named: they need more than the services do


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    lines = "".join(f"  {name:<12} {(part.__doc__ or '').splitlines()[0]}\n" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="deepsing bench",
        description="Measures speed and memory of deepsing, on this machine, with services that it starts itself.",
        epilog=f"parts:\n{lines}\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"see below (default: all but {', '.join(EXTRA)})")
    parser.add_argument("--quick", action="store_true", help="fewer repeats, ten seconds of song, no hour of audio")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the JSON object to a file as well")
    return parser


def main(arguments: list[str]) -> int:
    """Runs the parts asked for and prints their report."""
    parser = build_parser()
    wanted = parser.parse_args(arguments)
    if unknown := [part for part in wanted.parts if part not in PARTS]:
        parser.error(f"no part is called {unknown[0]}; choose some of: {', '.join(PARTS)}")
    try:
        found = asyncio.run(_run_parts(wanted.parts or [part for part in PARTS if part not in EXTRA], wanted.quick))
    except (CommandError, DeepsingError) as failure:
        Console(stderr=True).print(f"deepsing bench: {failure}")
        return 1
    report = json.dumps({"machine": _machine(), "measurements": [one.to_json() for one in found]}, indent=1) + "\n"
    if wanted.report:
        wanted.report.parent.mkdir(parents=True, exist_ok=True)
        wanted.report.write_text(report, encoding="utf-8")
    if wanted.json:
        sys.stdout.write(report)
    else:
        Console().print(build_table(found))
    return 0


async def _run_parts(parts: list[str], quick: bool) -> list[Measurement]:
    notes = Console(stderr=True)
    found: list[Measurement] = []
    for part in parts:
        notes.print(f"measuring: {part} …", style="dim")
        found.extend(await PARTS[part](quick))
    return found


def _machine() -> dict[str, object]:
    """What the numbers were taken on, and how busy it was."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load_1_min": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
