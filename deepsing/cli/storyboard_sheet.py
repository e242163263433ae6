"""The contact sheet of a storyboard: the curve of its feelings, and the picture of each key with what it is."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from deepsing.cli.sheet_text import FAINT, INK, PAPER, write_line
from deepsing.client.storyboard import StoryboardKey
from deepsing.local.failures import missing_extra
from deepsing.v1.composer_pb2 import PlannedKey

__all__ = ["draw_sheet", "format_time"]

COLUMNS, MOST_TILES = 6, 240
GAP_PX, CAPTION_PX, CURVE_PX, TEXT_PX = 8, 48, 84, 13
GRID = (52, 52, 60)
AROUSAL, VALENCE = (240, 140, 70), (90, 170, 240)


def draw_sheet(path: Path, keys: Sequence[PlannedKey], duration_s: float) -> None:
    """Draws the sheet as PNG; keys without a picture are left out, and of many some.

    Raises:
        CommandError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise missing_extra("the contact sheet needs Pillow", "serve") from None
    shown = [key for key in keys if key.image]
    stride = -(-len(shown) // MOST_TILES) or 1
    shown = shown[::stride]
    tiles = [Image.open(BytesIO(key.image)) for key in shown]
    width, height = tiles[0].size if tiles else (240, 192)
    columns = min(COLUMNS, max(1, len(tiles)))
    rows = -(-len(tiles) // columns)
    top = CURVE_PX + 3 * GAP_PX
    size = (columns * (width + GAP_PX) + GAP_PX, top + rows * (height + CAPTION_PX + GAP_PX))
    sheet = Image.new("RGB", (max(size[0], 360), size[1]), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT_PX)
    _draw_curve(draw, font, keys, duration_s, sheet.width)
    for place, (tile, key) in enumerate(zip(tiles, shown, strict=True)):
        left = GAP_PX + place % columns * (width + GAP_PX)
        y = top + place // columns * (height + CAPTION_PX + GAP_PX)
        sheet.paste(tile, (left, y))
        for line, (text, ink) in enumerate(_caption(key)):
            write_line(draw, (left, y + height + 2 + 15 * line), text, width, TEXT_PX, ink)
    sheet.save(path, format="PNG", compress_level=4)


def _caption(key: PlannedKey) -> list[tuple[str, tuple[int, int, int]]]:
    written = StoryboardKey.from_message(key.key)
    lock = "  locked" if written.locked else ""
    felt = f"arousal {key.target.arousal:+.2f}  valence {key.target.valence:+.2f}"
    names = " + ".join(written.concepts)
    return [(f"{format_time(written.time_s)}  {names}", INK), (felt, FAINT), (f"style {written.style}{lock}", FAINT)]


def _draw_curve(draw: Any, font: Any, keys: Sequence[PlannedKey], duration_s: float, width: int) -> None:
    """Draws arousal and valence of the keys over the song."""
    middle, reach = GAP_PX + CURVE_PX // 2, CURVE_PX // 2 - 14
    draw.line((GAP_PX, middle, width - GAP_PX, middle), GRID)
    ends_s = [*(key.key.time_us / 1e6 for key in keys[1:]), duration_s]
    scale = (width - 2 * GAP_PX) / max(duration_s, 1e-3)
    for axis, ink in (("arousal", AROUSAL), ("valence", VALENCE)):
        path: list[tuple[float, float]] = []
        for key, end_s in zip(keys, ends_s, strict=True):
            y = middle - reach * getattr(key.target, axis)
            path += [(GAP_PX + key.key.time_us / 1e6 * scale, y), (GAP_PX + end_s * scale, y)]
        draw.line(path, ink, 2)
    draw.text((GAP_PX, 1), "arousal", AROUSAL, font)
    draw.text((GAP_PX + 70, 1), "valence", VALENCE, font)
    draw.text((width - GAP_PX - 60, 1), format_time(duration_s), FAINT, font)


def format_time(time_s: float) -> str:
    """A time as 1:02.5."""
    tenths = int(time_s * 10 + 1e-6)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
