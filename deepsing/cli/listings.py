"""deepsing concepts, styles and translators: what can be asked for."""

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from deepsing.access.outgoing import open_channel
from deepsing.cli.composer import open_service
from deepsing.cli.concept_sheet import RATERS, check_sheet, paint_concepts, write_sheet
from deepsing.cli.credentials import add_credentials, read_channel_credentials
from deepsing.cli.interrupts import run_to_end
from deepsing.cli.progress import show_progress
from deepsing.cli.tables import print_rows
from deepsing.cli.values import parse_target
from deepsing.cli.verbs import add_command
from deepsing.client.status import convert_error
from deepsing.v1.composer_pb2 import PHASE_PAINTING, Heartbeat
from deepsing.v1.generator_pb2 import ListConceptsRequest, ListConceptsResponse, ListStylesRequest
from deepsing.v1.generator_pb2_grpc import GeneratorServiceStub
from deepsing.v1.translator_pb2 import ListTranslatorsRequest
from deepsing.v1.translator_pb2_grpc import TranslatorServiceStub

__all__ = ["LISTINGS", "add_listing"]

Rows = list[dict[str, object]]
CALL_LIMIT_S = 30.0

LISTINGS = {
    "concepts": "list the concepts that the generator can paint, with their feelings",
    "styles": "list the styles that pictures can be painted in, with their feelings",
    "translators": "list the translators, which choose concepts for feelings",
}
EXAMPLES = {
    "concepts": (
        "concepts",
        "concepts --json",
        "concepts --sheet concepts.png",
        "concepts --target 127.0.0.1:50054",
        "concepts --engine NAME",
    ),
    "styles": ("styles", "styles --json", "styles --target 127.0.0.1:50054"),
    "translators": ("translators", "translators --json", "translators --target 127.0.0.1:50053"),
}
NOTES = """
Without --json: a table; into a file or a pipe, lines with tabs between the columns and the names of these first.
"""
SHEET_NOTE = """
With --sheet every concept is painted, and placed by its feeling: unpleasant on the left, pleasant on the right, excited
at the top, calm at the bottom. Below each are its name, arousal (a), valence (v), and who rated it.
"""
SCALE_NOTE = "Arousal is from -1 (calm) to 1 (excited), valence from -1 (unpleasant) to 1 (pleasant).\n"


def add_listing(commands: Any, name: str) -> None:
    """Adds a listing to the commands.

    Args:
        commands: what `ArgumentParser.add_subparsers` returned.
        name: of the listing, one of LISTINGS.
    """
    service, columns, fetch = SOURCES[name]
    examples = "\n".join(f"  deepsing {example}" for example in EXAMPLES[name])
    notes = f"{SHEET_NOTE if name == 'concepts' else ''}{SCALE_NOTE if 'valence' in columns else ''}"
    parser = add_command(commands, name, LISTINGS[name], f"examples:\n{examples}\n{NOTES}{notes}")

    def run(arguments: argparse.Namespace) -> int:
        if arguments.sheet is not None:
            check_sheet(arguments.sheet)
        return run_to_end(_list(arguments, service, columns, fetch))

    parser.set_defaults(run=run, engine="", sheet=None)
    parser.add_argument(
        "--target",
        type=parse_target,
        metavar="HOST:PORT",
        help=f"ask the {service} that runs there (default: start one here)",
    )
    add_credentials(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    if name == "concepts":
        parser.add_argument("--engine", default="", metavar="NAME", help="of this engine (default: the built-in one)")
        parser.add_argument(
            "--sheet", type=Path, metavar="FILE.png", help="paint them all into one picture, instead of the table"
        )


async def _fetch_concepts(channel: Any, arguments: argparse.Namespace) -> Rows:
    stub = GeneratorServiceStub(channel)
    answer = await stub.ListConcepts(ListConceptsRequest(engine=arguments.engine), timeout=CALL_LIMIT_S)
    if arguments.sheet is not None:
        await _write_sheet(stub, answer, arguments)
    return [
        {**_to_row(concept), "themes": list(concept.themes), "rated_by": RATERS.get(concept.rated_by, "")}
        for concept in answer.concepts
    ]


async def _write_sheet(stub: Any, answer: ListConceptsResponse, arguments: argparse.Namespace) -> None:
    count = len(answer.concepts)
    with show_progress(quiet=arguments.json) as report:

        def count_painted(done: int) -> None:
            report(Heartbeat(phase=PHASE_PAINTING, frames_done=done, frames_total=count))

        pictures = await paint_concepts(stub, answer, count_painted)
        report("drawing the sheet")
        await asyncio.to_thread(write_sheet, arguments.sheet, answer, pictures)


async def _fetch_styles(channel: Any, arguments: argparse.Namespace) -> Rows:
    answer = await GeneratorServiceStub(channel).ListStyles(ListStylesRequest(), timeout=CALL_LIMIT_S)
    return [_to_row(style) for style in answer.styles]


async def _fetch_translators(channel: Any, arguments: argparse.Namespace) -> Rows:
    answer = await TranslatorServiceStub(channel).ListTranslators(ListTranslatorsRequest(), timeout=CALL_LIMIT_S)
    return [{"name": t.name, "engine": t.engine, "description": t.description} for t in answer.translators]


FEELINGS = ("name", "arousal", "valence")
Fetch = Callable[[Any, argparse.Namespace], Awaitable[Rows]]
SOURCES: dict[str, tuple[str, tuple[str, ...], Fetch]] = {
    "concepts": ("generator", (*FEELINGS, "themes", "rated_by"), _fetch_concepts),
    "styles": ("generator", FEELINGS, _fetch_styles),
    "translators": ("translator", ("name", "engine", "description"), _fetch_translators),
}


async def _list(
    arguments: argparse.Namespace,
    service: str,
    columns: tuple[str, ...],
    fetch: Fetch,
) -> int:
    credentials = read_channel_credentials(arguments) if arguments.target else {}
    async with (
        open_service(arguments.target, service, arguments.engine) as target,
        open_channel(target, **credentials) as channel,
    ):
        try:
            found = await fetch(channel, arguments)
        except grpc.aio.AioRpcError as call_error:
            raise convert_error(call_error, target) from None
    if arguments.json:
        print(json.dumps(found))
    elif arguments.sheet is not None:
        print(f"{arguments.sheet}: {len(found)} concepts")
    else:
        print_rows(columns, [tuple(map(_format_cell, row.values())) for row in found])
    return 0


def _format_cell(value: object) -> object:
    return ", ".join(value) if isinstance(value, list) else value


def _to_row(item: Any) -> dict[str, object]:
    sentiment = item.sentiment
    return {"name": item.name, "arousal": round(sentiment.arousal, 4), "valence": round(sentiment.valence, 4)}
