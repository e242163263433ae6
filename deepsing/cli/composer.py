"""A composer to ask: one that runs already, or one started for this command."""

import argparse
import asyncio
import math
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from deepsing.access.outgoing import open_channel
from deepsing.cli.credentials import add_credentials, read_channel_credentials, read_client_credentials
from deepsing.cli.progress import Report
from deepsing.cli.values import parse_target, parse_timeout
from deepsing.client import Client
from deepsing.client.errors import Unavailable
from deepsing.local.failures import USAGE, CommandError
from deepsing.local.services import NAMES, LocalServices, find_free_ports

__all__ = ["add_arguments", "add_wait", "ask", "name_full_disk", "open_client", "open_service"]

Answer = TypeVar("Answer")

DEFAULT_WAIT_S = 10.0  # a composer that starts, or is replaced, at this moment
PROBE_S = 1.0  # longest try to connect; each begins afresh, so that no back-off delays the next
PAUSE_S = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what every command takes that asks a composer."""
    parser.add_argument(
        "--target",
        type=parse_target,
        metavar="HOST:PORT",
        help="use the composer that runs there (default: start all services here)",
    )
    add_wait(parser)
    add_credentials(parser)
    parser.add_argument(
        "--timeout", type=parse_timeout, metavar="SECONDS", help="give up after so long (default: never)"
    )
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs of services started here")
    parser.add_argument("--json", action="store_true", help="print one JSON object and no progress")


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Adds how long a command waits for a composer that does not answer yet."""
    parser.add_argument(
        "--wait",
        type=float,
        default=DEFAULT_WAIT_S,
        metavar="SECONDS",
        help=f"for a composer at --target that does not answer yet (default: {DEFAULT_WAIT_S:g}; 0: do not wait)",
    )


async def ask(
    question: Callable[[Client], Coroutine[Any, Any, Answer]],
    *,
    arguments: argparse.Namespace,
    report: Report,
) -> Answer:
    """Asks a composer.

    Args:
        question: what to do with it.
        arguments: of the command; without a target all four services start here and are stopped afterwards.
        report: takes a sentence for each stage.

    Raises:
        CommandError: a service started here ended, or did not become ready.
        DeepsingError: see `deepsing.client.errors`.
    """
    if arguments.target:
        async with open_client(arguments, report) as client:
            return await question(client)
    report("starting the services")
    async with (
        LocalServices(
            find_free_ports(dict.fromkeys(NAMES, 0)), logs=arguments.logs, engine=getattr(arguments, "engine", "")
        ) as services,
        Client(services.targets["composer"], timeout_s=arguments.timeout, retries=0) as client,  # the dead stay dead
    ):
        with name_full_disk():
            return await services.watch(question(client))


@contextmanager
def name_full_disk() -> Iterator[None]:
    """Says which folder of this machine has no room, which a service tells nobody."""
    try:
        yield
    except Unavailable as error:
        if error.reason != "DISK_FULL":
            raise
        where = tempfile.gettempdir()
        message = f"there is no room left for temporary files in {where}; free some, or set TMPDIR to another folder"
        raise CommandError(message) from None


@asynccontextmanager
async def open_client(arguments: argparse.Namespace, report: Report) -> AsyncIterator[Client]:
    """Yields a client of the composer at `arguments.target`, after waiting for it as long as the arguments allow.

    Where nobody answers by then, the client makes one attempt only, whose error says why.

    Raises:
        CommandError: --wait is out of range, or the credentials break a rule.
    """
    if not (math.isfinite(arguments.wait) and arguments.wait >= 0):
        raise CommandError(f"--wait is {arguments.wait:g}; choose 0 or more seconds", USAGE)
    wait_s = min(arguments.wait, math.inf if arguments.timeout is None else arguments.timeout)
    credentials = read_client_credentials(arguments)
    async with Client(arguments.target, timeout_s=arguments.timeout, on_retry=report, **credentials) as client:
        # Opening it has refused a key that must not be sent, before anything waits.
        if await _wait_until_connected(arguments.target, read_channel_credentials(arguments), wait_s, report):
            yield client
            return
    async with Client(arguments.target, timeout_s=arguments.timeout, retries=0, **credentials) as client:
        yield client


async def _wait_until_connected(target: str, credentials: Mapping[str, Any], wait_s: float, report: Report) -> bool:
    """Returns whether `target` accepts a connection within `wait_s`."""
    end_s, is_said = time.monotonic() + wait_s, False
    while (left_s := end_s - time.monotonic()) > 0:
        async with open_channel(target, tls=credentials["tls"]) as channel:
            try:
                async with asyncio.timeout(min(PROBE_S, left_s)):
                    await channel.channel_ready()
            except TimeoutError:
                pass
            else:
                return True
        if not is_said:
            report(f"{target} does not answer yet; waiting up to {wait_s:g} s for it")
            is_said = True
        await asyncio.sleep(min(PAUSE_S, max(0.0, end_s - time.monotonic())))
    return False


@asynccontextmanager
async def open_service(target: str | None, name: str, engine: str = "") -> AsyncIterator[str]:
    """Yields the "host:port" of a service: `target`, or of one started, with `engine`, for the time of the context."""
    if target:
        yield target
        return
    async with LocalServices(find_free_ports({name: 0}), engine=engine) as services:
        yield services.targets[name]
