"""deepsing top: a table of what running services are doing, brought up to date every few seconds."""

import argparse
import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live
from rich.table import Table

from deepsing.cli.interrupts import run_to_end
from deepsing.local.failures import FAILURE, USAGE, CommandError
from deepsing.telemetry.summary import Scrape, build_scrape, summarize

__all__ = ["EXAMPLES", "FIRST_METRICS_PORT", "add_arguments", "fetch_scrapes", "metrics_url", "top"]

FIRST_METRICS_PORT = 9464  # OpenTelemetry's usual port for a Prometheus exporter
EXAMPLES = f"""examples:
  deepsing top                          what `deepsing up` serves on 127.0.0.1:{FIRST_METRICS_PORT} and the next three
  deepsing top 10.0.0.7:9464 http://10.0.0.8:3000/metrics
  deepsing top --json                   one object, measured over two seconds

Where the usual metrics ports are taken, `deepsing up` uses others and prints the command that shows them.

exit status: 0 done, 1 no service answers, 2 a mistake in the request, 130 Ctrl-C
"""
MAX_TARGETS = 64
ANSWER_LIMIT_S = 3.0
ANSWER_LIMIT_BYTES = 16 * 2**20
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # fetches directly, whatever proxy is set
CAPTION = "sessions: active + pending · p50, p99: of the composer, first frame; of others, calls"
COLUMNS = (
    "service", "state", "sessions", "queue", "frames/s", "p50", "p99", "errors", "lag p99", "dropped",
    "r arousal", "r valence", "× real time",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `top`."""
    parser.set_defaults(run=top)
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help="HOST:PORT or URL of a service's metrics (default: see below)"
    )
    parser.add_argument(
        "--interval",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="between two measurements, 0.1 to 3600 (default: 2)",
    )
    parser.add_argument("--json", action="store_true", help="measure once, print one JSON object, and end")


def top(arguments: argparse.Namespace) -> int:
    """Shows the table until Ctrl-C, once if there is no terminal. Exit status 1 if no service could be reached."""
    if not 0.1 <= arguments.interval <= 3600:
        raise CommandError(f"--interval is {arguments.interval:g}; choose 0.1 to 3600", USAGE)
    targets = arguments.targets or [f"127.0.0.1:{FIRST_METRICS_PORT + place}" for place in range(4)]
    if len(targets) > MAX_TARGETS:
        raise CommandError(f"{len(targets)} targets are given; give at most {MAX_TARGETS}", USAGE)
    urls = [metrics_url(target) for target in targets]
    caption = CAPTION if arguments.targets else f"{CAPTION}\n{_describe_default(targets)}"
    return run_to_end(_watch(targets, urls, arguments.interval, arguments.json, caption))


def _describe_default(targets: Sequence[str]) -> str:
    """Which services are shown where none were named: others than one means may run there."""
    return (
        f"of {targets[0]} to {targets[-1].rpartition(':')[2]}; others: deepsing top HOST:PORT …, as deepsing up prints"
    )


async def _watch(
    targets: Sequence[str], urls: Sequence[str], interval_s: float, as_json: bool, caption: str = CAPTION
) -> int:
    console = Console()
    before = await fetch_scrapes(urls)
    await asyncio.sleep(interval_s)
    now = await fetch_scrapes(urls)
    if as_json:
        print(json.dumps({"interval_s": interval_s, "services": _build_rows(targets, before, now)}))
    elif not console.is_terminal:
        Console(width=160).print(_build_table(_build_rows(targets, before, now), caption))
    else:
        with Live(
            _build_table(_build_rows(targets, before, now), caption), console=console, auto_refresh=False
        ) as live:
            while True:
                await asyncio.sleep(interval_s)
                before, now = now, await fetch_scrapes(urls)
                live.update(_build_table(_build_rows(targets, before, now), caption), refresh=True)
    return 0 if any(isinstance(one, Scrape) for one in now) else FAILURE


def _build_rows(
    targets: Sequence[str], before: Sequence[Scrape | str], now: Sequence[Scrape | str]
) -> list[dict[str, Any]]:
    """A row for each target: `up`, and either the figures or an `error` that says why there are none."""
    rows: list[dict[str, Any]] = []
    for target, old, new in zip(targets, before, now, strict=True):
        if isinstance(new, str):
            rows.append({"target": target, "up": False, "error": new})
        else:
            rows.append({"target": target, "up": True, **asdict(summarize(new, None if isinstance(old, str) else old))})
    return rows


def _build_table(rows: Sequence[dict[str, Any]], caption: str = CAPTION) -> Table:
    table = Table(*COLUMNS[:2], caption=caption)
    for name in COLUMNS[2:]:
        table.add_column(name, justify="right")
    for row in rows:
        if not row["up"]:
            table.add_row(row["target"], f"[red]{row['error']}[/red]")
            continue
        state = "[green]serving[/green]" if row["serving"] else "[yellow]not serving[/yellow]"
        sessions = "" if row["sessions_active"] is None else f"{row['sessions_active']} + {row['sessions_pending']}"
        numbers = (
            row["queue"], row["frames_per_s"], _format_ms(row["p50_s"]), _format_ms(row["p99_s"]), row["errors"],
            _format_ms(row["lag_p99_s"]), row["dropped"], row["arousal_r"], row["valence_r"], row["realtime"],
        )  # fmt: skip
        table.add_row(row["service"] or row["target"], state, sessions, *map(_format_value, numbers))
    return table


def _format_ms(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def _format_value(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.3g}" if value % 1 else f"{value:.0f}"


def metrics_url(target: str) -> str:
    """Returns the address of a target's metrics: http://HOST:PORT/metrics for HOST:PORT, a URL with a path as it is.

    Raises:
        CommandError: it is neither.
    """
    parts = urlsplit(target if "://" in target else f"http://{target}")
    try:
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or "://" in target)
    except ValueError:  # the port is not a number
        known = None
    if not known:
        raise CommandError(f"{target!r} is not an address of metrics; give HOST:PORT or a URL of http or https", USAGE)
    return parts._replace(path=parts.path.rstrip("/") or "/metrics").geturl()


async def fetch_scrapes(urls: Sequence[str]) -> list[Scrape | str]:
    """Fetches all at once; in place of each that fails or takes too long stands a text that says why."""
    return await asyncio.gather(*(asyncio.to_thread(_fetch_scrape, url) for url in urls))


def _fetch_scrape(url: str) -> Scrape | str:
    from prometheus_client.parser import text_string_to_metric_families

    try:
        with NO_PROXY.open(url, timeout=ANSWER_LIMIT_S) as answer:
            text = answer.read(ANSWER_LIMIT_BYTES).decode()
        return build_scrape(text_string_to_metric_families(text), time.monotonic())
    except urllib.error.HTTPError as error:
        return f"answers {error.code}"
    except OSError as error:
        reason = getattr(error, "reason", error)
        return f"down ({getattr(reason, 'strerror', None) or reason})"
    except (ValueError, HTTPException):
        return "answers, but not with metrics"
