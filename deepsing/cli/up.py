"""deepsing up: runs all four services on this machine until Ctrl-C."""

import argparse
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from deepsing.cli.interrupts import run_to_end
from deepsing.cli.progress import print_news, show_progress
from deepsing.cli.top import FIRST_METRICS_PORT
from deepsing.cli.values import parse_port
from deepsing.local.failures import CommandError
from deepsing.local.services import NAMES, LocalServices, find_free_ports

__all__ = ["add_arguments", "up", "EXAMPLES"]

EXAMPLES = """examples:
  deepsing up                    composer on 127.0.0.1:50051, the others on the three ports after it
  deepsing up --port 6000        on 6000 to 6003
  deepsing up --port 0 --json    on free ports, which one line of JSON names

A service that ends is started again, after a pause; if it keeps ending, the command stops with its last message.

exit status: 1 a service failed, 2 a mistake in the request, 130 Ctrl-C
"""

FIRST_PORT = 50051
DRAIN_S = 30.0  # for calls that are open when it is stopped
STOPPING = (
    f"stopping; stories that are being rendered may take up to {DRAIN_S:g} s to finish (Ctrl-C again: stop at once)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `up`."""
    parser.set_defaults(run=up)
    parser.add_argument(
        "--port",
        type=parse_port,
        default=FIRST_PORT,
        metavar="N",
        help=f"first of four (default: {FIRST_PORT}; 0: any free)",
    )
    parser.add_argument(
        "--metrics-port",
        type=parse_port,
        metavar="N",
        help=f"first of four for `deepsing top` (default: {FIRST_METRICS_PORT}, or free ones where those are taken)",
    )
    parser.add_argument(
        "--engine", default="", metavar="NAME", help="one of `deepsing models list`, in addition to the built-in one"
    )
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the services' logs there")
    parser.add_argument("--json", action="store_true", help="print one line of JSON when all are ready")


def up(arguments: argparse.Namespace) -> int:
    """Serves until a signal comes (exit status 130 for Ctrl-C) or a service keeps ending."""
    first = arguments.port
    services = LocalServices(
        find_free_ports(_four_ports(first)),
        logs=arguments.logs,
        engine=arguments.engine,
        grace_s=DRAIN_S,
        metrics=_choose_metrics_ports(arguments.metrics_port),
        guarded=True,
    )
    return run_to_end(_serve(services, arguments.json), waiting=STOPPING)


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
            print(_format_services(services), flush=True)
        await services.keep_running(print_news)
    return 0


def _format_services(services: LocalServices) -> str:
    """A line for each service, never cut, and what to do next."""
    rows = [("service", "address", "metrics", "process")]
    rows += [
        (name, target, f"http://{services.metrics[name]}/metrics", str(services.pids[name]))
        for name, target in services.targets.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(
        [
            *lines,
            f"Try: deepsing render SONG OUT.mp4 --target {services.targets['composer']}",
            f"Watch: {_format_top_command(services.metrics)}",
            "Ctrl-C stops them.",
        ]
    )


def _format_top_command(metrics: Mapping[str, str]) -> str:
    """The `deepsing top` that shows these services: without addresses only where it would find them by itself."""
    ports = [int(address.rpartition(":")[2]) for address in metrics.values()]
    usual = ports == list(_four_ports(FIRST_METRICS_PORT).values())
    return "deepsing top" if usual else f"deepsing top {' '.join(metrics.values())}"
