"""Lines of text and colours of the sheets that commands draw. Needs Pillow, of the extra "serve", when it draws."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageDraw

__all__ = ["FAINT", "INK", "PAPER", "write_line"]

PAPER, INK, FAINT = (18, 18, 22), (235, 235, 240), (150, 150, 160)


def write_line(
    draw: "ImageDraw.ImageDraw", place: tuple[int, int], text: str, width: int, size: int, colour: tuple[int, int, int]
) -> None:
    """Writes one line, cut to a width in pixels.

    Args:
        draw: of the sheet.
        place: left and top, pixels.
        text: the line.
        width: at most, pixels.
        size: of the letters, pixels.
        colour: red, green, blue.
    """
    from PIL import ImageFont

    font, shown = ImageFont.load_default(size), text
    while shown and draw.textlength(shown if shown == text else f"{shown}…", font) > width:
        shown = shown[:-1]
    draw.text(place, shown if shown == text else f"{shown.rstrip()}…", colour, font)
