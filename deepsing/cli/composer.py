"""A composer to ask: one that runs already, or one started for this command."""

import argparse
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from deepsing.cli.credentials import add_credentials, read_client_credentials
from deepsing.cli.progress import Report
from deepsing.client import Client
from deepsing.local.services import NAMES, LocalServices, find_free_ports

__all__ = ["add_arguments", "ask", "open_service"]

Answer = TypeVar("Answer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what every command takes that asks a composer."""
    parser.add_argument("--target", metavar="HOST:PORT", help="ask this composer; without it, all services start here")
    add_credentials(parser)
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give up after so long (default: never)")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs of services started here")
    parser.add_argument("--json", action="store_true", help="print one JSON object and no progress")


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
        report: is told of the start.

    Raises:
        CommandError: a service started here ended, or did not become ready.
        DeepsingError: see `deepsing.client.errors`.
    """
    if arguments.target:
        credentials = read_client_credentials(arguments)
        async with Client(arguments.target, timeout_s=arguments.timeout, on_retry=report, **credentials) as client:
            return await question(client)
    report("starting the services")
    async with (
        LocalServices(
            find_free_ports(dict.fromkeys(NAMES, 0)), logs=arguments.logs, engine=getattr(arguments, "engine", "")
        ) as services,
        Client(services.targets["composer"], timeout_s=arguments.timeout, retries=0) as client,  # the dead stay dead
    ):
        return await services.watch(question(client))


@asynccontextmanager
async def open_service(target: str | None, name: str, engine: str = "") -> AsyncIterator[str]:
    """Yields the "host:port" of a service: `target`, or of one started, with `engine`, for the time of the context."""
    if target:
        yield target
        return
    async with LocalServices(find_free_ports({name: 0}), engine=engine) as services:
        yield services.targets[name]
