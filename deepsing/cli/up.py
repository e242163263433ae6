"""deepsing up: all four services on this machine until Ctrl-C."""

import argparse
import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deepsing.cli.interrupts import run_to_end
from deepsing.cli.progress import show_progress
from deepsing.cli.top import FIRST_METRICS_PORT
from deepsing.local.failures import CommandError
from deepsing.local.services import NAMES, LocalServices, find_free_ports

__all__ = ["add_arguments", "up", "EXAMPLES"]

EXAMPLES = """examples:
  deepsing up                    composer on 127.0.0.1:50051, the others on the three ports after it
  deepsing up --port 6000        on 6000 to 6003
  deepsing up --port 0 --json    on free ports, which one line of JSON names
"""

FIRST_PORT = 50051
DRAIN_S = 30.0  # for stories that are being told when it is stopped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what `up` takes."""
    parser.set_defaults(run=up)
    parser.add_argument("--port", type=int, default=FIRST_PORT, metavar="N", help="first of four (default: 50051)")
    parser.add_argument(
        "--metrics-port",
        type=int,
        metavar="N",
        help=f"first of four for `deepsing top` (default: {FIRST_METRICS_PORT}, or free ones where those are taken)",
    )
    parser.add_argument(
        "--engine", default="", metavar="NAME", help="one of `deepsing models list`, beside the built-in one"
    )
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the services' logs")
    parser.add_argument("--json", action="store_true", help="print one line of JSON when all are ready")


def up(arguments: argparse.Namespace) -> int:
    """Serves until a signal comes (exit status 130 for Ctrl-C) or a service ends."""
    first = arguments.port
    services = LocalServices(
        find_free_ports(_four_ports(first)),
        logs=arguments.logs,
        engine=arguments.engine,
        grace_s=DRAIN_S,
        metrics=_choose_metrics_ports(arguments.metrics_port),
        guarded=True,
    )
    return run_to_end(_serve(services, arguments.json))


def _four_ports(first: int) -> dict[str, int]:
    return {name: first and first + place for place, name in enumerate(NAMES)}


def _choose_metrics_ports(first: int | None) -> dict[str, int]:
    """Those that are asked for, else the usual ones, else free ones; raises CommandError as `find_free_ports` does."""
    if first is not None:
        return find_free_ports(_four_ports(first), "--metrics-port")
    try:
        return find_free_ports(_four_ports(FIRST_METRICS_PORT))
    except CommandError:
        return find_free_ports(_four_ports(0))


async def _serve(services: LocalServices, as_json: bool) -> int:
    async with AsyncExitStack() as stack:
        with show_progress(quiet=as_json) as report:
            report("starting the services")
            await stack.enter_async_context(services)
        if as_json:
            print(
                json.dumps(
                    {"targets": dict(services.targets), "pids": dict(services.pids), "metrics": dict(services.metrics)}
                ),
                flush=True,
            )
        else:
            _print_table(services)
        return await services.watch(_wait_forever())


async def _wait_forever() -> int:
    never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    return await never


def _print_table(services: LocalServices) -> None:
    table = Table("service", "address", "metrics", "process", "health")
    for name, target in services.targets.items():
        table.add_row(
            name, target, f"http://{services.metrics[name]}", str(services.pids[name]), "[green]serving[/green]"
        )
    console = Console()
    console.print(table)
    console.print(f"Try: deepsing render SONG OUT.mp4 --target {services.targets['composer']}    Ctrl-C stops them.")
