"""deepsing concepts --sheet: one picture of all that an engine can paint, placed by feeling."""

import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepsing.cli.sheet_text import FAINT, INK, PAPER, write_line
from deepsing.local.failures import USAGE, CommandError, missing_extra
from deepsing.v1.generator_pb2 import Concept, Engine, GenerateRequest, ListConceptsResponse
from deepsing.v1.sentiment_pb2 import (
    IMAGE_FORMAT_RAW_RGB,
    RATING_SOURCE_MODEL,
    RATING_SOURCE_PEOPLE,
    RATING_SOURCE_UNSPECIFIED,
    Size,
)

if TYPE_CHECKING:
    from PIL import ImageDraw  # comes with the extra "serve"; other commands work without it

__all__ = ["RATERS", "check_sheet", "paint_concepts", "place_concepts", "write_sheet"]

BATCH = 8  # pictures a request: half a second for the built-in engine, a minute for a large one on a processor
CALL_LIMIT_S = 300.0
WIDTH_PX, LEAST_PX = 160, 64  # of a picture; the contract allows none smaller
MOST_PIXELS = 8_000_000  # of all pictures together: some 5 MB of PNG
SHAPE = 4 / 3  # width of the sheet / its height
GAP_PX, HEAD_PX, CAPTION_PX = 6, 30, 30
BY_MODEL = (214, 170, 92)  # colour of what a model rated
COLOURS = 256  # of the file, dithered: pictures so small lose little that one would see, and it is a third as large
PALETTE_SHRINK = 8  # the palette is chosen on a sheet so much smaller, in a hundredth of the time
RATERS = {RATING_SOURCE_UNSPECIFIED: "", RATING_SOURCE_PEOPLE: "people", RATING_SOURCE_MODEL: "model"}


def check_sheet(path: Path) -> None:
    """Raises what is wrong with the file before anything is painted: CommandError or OSError."""
    if path.suffix.lower() != ".png":
        raise CommandError(f"--sheet is {path}; choose a name that ends in .png", USAGE)
    if not path.parent.is_dir():
        raise FileNotFoundError(2, "no such folder", str(path.parent))
    if path.is_dir():
        raise IsADirectoryError(21, "is a folder", str(path))
    if find_spec("PIL") is None:
        raise missing_extra("--sheet needs Pillow, which is not installed here", "serve")


async def paint_concepts(stub: Any, listed: ListConceptsResponse, on_done: Callable[[int], None]) -> list[bytes]:
    """Has each concept of an engine painted, by itself and unmoved.

    Args:
        stub: of the generator.
        listed: its engine and concepts.
        on_done: is called with the number of pictures that are painted.

    Returns:
        RGB bytes, each of `choose_size`.
    """
    count, (width, height) = len(listed.concepts), choose_size(listed.engine, len(listed.concepts))
    pictures: list[bytes] = []
    for first in range(0, count, BATCH):
        rows = np.eye(count, dtype=np.float32)[first : first + BATCH]
        request = GenerateRequest(
            engine=listed.engine.name,
            frame_count=len(rows),
            class_weights=rows.ravel().tolist(),
            size=Size(width_px=width, height_px=height),
            image_format=IMAGE_FORMAT_RAW_RGB,
        )
        pictures += (await stub.Generate(request, timeout=CALL_LIMIT_S)).images
        on_done(len(pictures))
    return pictures


def choose_size(engine: Engine, count: int) -> tuple[int, int]:
    """Width and height of each picture, pixels, even: in the engine's shape, smaller where there are many."""
    native = engine.native_size
    ratio = native.width_px / native.height_px
    width = max(LEAST_PX, min(WIDTH_PX, int(math.sqrt(MOST_PIXELS / count * ratio))))
    return width // 2 * 2, max(LEAST_PX, int(width / ratio) // 2 * 2)


def place_concepts(concepts: Sequence[Concept], columns: int) -> list[tuple[int, int]]:
    """Column and row of each concept: the more pleasant the farther right, in a column the more excited the higher."""
    places = [(0, 0)] * len(concepts)
    by_valence = sorted(range(len(concepts)), key=lambda number: concepts[number].sentiment.valence)
    for column, numbers in enumerate(np.array_split(np.array(by_valence), columns)):
        by_arousal = sorted(numbers.tolist(), key=lambda number: -concepts[number].sentiment.arousal)
        for row, number in enumerate(by_arousal):
            places[number] = column, row
    return places


def write_sheet(path: Path, listed: ListConceptsResponse, pictures: Sequence[bytes]) -> None:
    """Draws the sheet and writes it as PNG, whole or not at all.

    Args:
        path: see `check_sheet`.
        listed: the engine and its concepts, at least one.
        pictures: of `paint_concepts`.
    """
    from PIL import Image, ImageDraw

    count, (width, height) = len(listed.concepts), choose_size(listed.engine, len(listed.concepts))
    across, down = width + GAP_PX, height + CAPTION_PX + GAP_PX
    columns = min(count, max(1, round(math.sqrt(count * SHAPE * down / across))))
    size = (columns * across + GAP_PX, -(-count // columns) * down + HEAD_PX + GAP_PX)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    write_line(draw, (GAP_PX, GAP_PX), _describe(listed), size[0] - 2 * GAP_PX, 15, INK)
    places = place_concepts(listed.concepts, columns)
    for concept, (column, row), picture in zip(listed.concepts, places, pictures, strict=True):
        left, top = GAP_PX + column * across, HEAD_PX + GAP_PX + row * down
        sheet.paste(Image.frombytes("RGB", (width, height), picture), (left, top))
        _write_caption(draw, (left, top + height + 1), concept, width)
    partial = path.with_name(f".{path.name}.partial")
    try:
        palette = sheet.reduce(PALETTE_SHRINK).quantize(COLOURS)
        sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(partial, "PNG")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _describe(listed: ListConceptsResponse) -> str:
    """The heading: how many concepts, who rated how many of them if that is known, and how they stand."""
    raters = [RATERS.get(concept.rated_by, "") for concept in listed.concepts]
    known = [(raters.count(rater), who) for rater, who in (("people", "people"), ("model", "a model"))]
    counts = [f"{len(raters)} concepts", *(f"{count} rated by {who}" for count, who in known if count)]
    return (
        f"{listed.engine.name}: {', '.join(counts)}.  From left to right: unpleasant to "
        "pleasant.  In each column from top to bottom: excited to calm."
    )


def _write_caption(draw: "ImageDraw.ImageDraw", place: tuple[int, int], concept: Concept, width: int) -> None:
    """The name, and below it arousal, valence and who rated them."""
    felt, rater = concept.sentiment, RATERS.get(concept.rated_by, "")
    write_line(draw, place, concept.name, width, 12, INK)
    text = f"a {felt.arousal:+.2f}  v {felt.valence:+.2f}  {rater}"
    write_line(draw, (place[0], place[1] + 14), text, width, 11, BY_MODEL if rater == "model" else FAINT)
