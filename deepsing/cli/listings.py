"""deepsing concepts, styles and translators: what can be asked for."""

import argparse
import json
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deepsing.access.outgoing import open_channel
from deepsing.cli.composer import open_service
from deepsing.cli.credentials import add_credentials, read_channel_credentials
from deepsing.cli.interrupts import run_to_end
from deepsing.client.status import convert_error
from deepsing.v1.generator_pb2 import ListConceptsRequest, ListStylesRequest
from deepsing.v1.generator_pb2_grpc import GeneratorServiceStub
from deepsing.v1.translator_pb2 import ListTranslatorsRequest
from deepsing.v1.translator_pb2_grpc import TranslatorServiceStub

__all__ = ["add_arguments", "LISTINGS"]

Rows = list[dict[str, object]]
CALL_LIMIT_S = 30.0


LISTINGS = {
    "concepts": "list what the generator can paint",
    "styles": "list the manners of painting",
    "translators": "list the ways from feelings to pictures",
}


def add_arguments(parser: argparse.ArgumentParser, listing: str) -> None:
    """Adds what a listing takes.

    Args:
        parser: of that command.
        listing: its name, one of LISTINGS.
    """
    service, rows = SOURCES[listing]
    parser.set_defaults(run=lambda arguments: run_to_end(_list(arguments, service, rows)), engine="")
    parser.add_argument("--target", metavar="HOST:PORT", help=f"ask this {service}; without it, one starts here")
    add_credentials(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    if listing == "concepts":
        parser.add_argument("--engine", default="", metavar="NAME", help="of which engine (default: the built-in one)")


async def _fetch_concepts(channel: Any, engine: str) -> Rows:
    answer = await GeneratorServiceStub(channel).ListConcepts(ListConceptsRequest(engine=engine), timeout=CALL_LIMIT_S)
    return [_to_row(concept) for concept in answer.concepts]


async def _fetch_styles(channel: Any, engine: str) -> Rows:
    answer = await GeneratorServiceStub(channel).ListStyles(ListStylesRequest(), timeout=CALL_LIMIT_S)
    return [_to_row(style) for style in answer.styles]


async def _fetch_translators(channel: Any, engine: str) -> Rows:
    answer = await TranslatorServiceStub(channel).ListTranslators(ListTranslatorsRequest(), timeout=CALL_LIMIT_S)
    return [{"name": t.name, "engine": t.engine, "description": t.description} for t in answer.translators]


SOURCES: dict[str, tuple[str, Callable[[Any, str], Awaitable[Rows]]]] = {
    "concepts": ("generator", _fetch_concepts),
    "styles": ("generator", _fetch_styles),
    "translators": ("translator", _fetch_translators),
}


async def _list(arguments: argparse.Namespace, service: str, rows: Callable[[Any, str], Awaitable[Rows]]) -> int:
    credentials = read_channel_credentials(arguments) if arguments.target else {}
    async with (
        open_service(arguments.target, service, arguments.engine) as target,
        open_channel(target, **credentials) as channel,
    ):
        try:
            found = await rows(channel, arguments.engine)
        except grpc.aio.AioRpcError as call_error:
            raise convert_error(call_error, target) from None
    if arguments.json:
        print(json.dumps(found))
    else:
        _print_rows(found)
    return 0


def _to_row(item: Any) -> dict[str, object]:
    sentiment = item.sentiment
    return {"name": item.name, "arousal": round(sentiment.arousal, 4), "valence": round(sentiment.valence, 4)}


def _print_rows(rows: Rows) -> None:
    console = Console()
    if not console.is_terminal:  # one row a line, for other programs
        print("\n".join("\t".join(map(str, row.values())) for row in rows))
        return
    table = Table(*(rows[0] if rows else ("none",)))
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    console.print(table)
