"""The contact sheet of a story: frames at even distances, with time, concept and sentiment under each."""

from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from services.composer.story.frame import FrameInfo

__all__ = ["ContactSheet", "EvenSampler"]

U8 = NDArray[np.uint8]
T = TypeVar("T")
TILE_PX, CAPTION_PX, COLUMNS, ROWS = 240, 34, 6, 4
PAPER, INK, FAINT = (18, 18, 22), (235, 235, 240), (150, 150, 160)


class EvenSampler(Generic[T]):
    """Keeps fewer than 2 * `wanted` of any number of items, evenly spread, always with the first one."""

    def __init__(self, wanted: int) -> None:
        self._wanted, self._stride, self._count = wanted, 1, 0
        self.kept: list[T] = []

    def takes_next(self) -> bool:
        """Counts one more item; True if keep() is to be called with it."""
        self._count += 1
        return (self._count - 1) % self._stride == 0

    def keep(self, thing: T) -> None:
        """Keeps an item for which takes_next() returned True."""
        self.kept.append(thing)
        if len(self.kept) >= 2 * self._wanted:
            self.kept, self._stride = self.kept[::2], 2 * self._stride

    def select_evenly(self) -> list[T]:
        """At most `wanted` of the kept items, evenly spread."""
        places = np.linspace(0, len(self.kept) - 1, min(self._wanted, len(self.kept)))
        return [self.kept[round(place)] for place in places]


class ContactSheet:
    """Collects thumbnails and draws the contact sheet."""

    def __init__(self) -> None:
        self.tiles: EvenSampler[tuple[Image.Image, FrameInfo]] = EvenSampler(COLUMNS * ROWS)

    def add(self, picture: U8, info: FrameInfo) -> None:
        """Adds a frame, if the sheet needs it."""
        if self.tiles.takes_next():
            tile = Image.fromarray(picture)
            tile.thumbnail((TILE_PX, TILE_PX))
            self.tiles.keep((tile, info))

    def thumbnails(self) -> list[tuple[Image.Image, FrameInfo]]:
        """The frames that the sheet will show."""
        return self.tiles.select_evenly()

    def write(self, path: Path) -> None:
        """Draws the sheet as PNG."""
        chosen = self.thumbnails()
        width, height = chosen[0][0].size
        columns = min(COLUMNS, len(chosen))
        rows = -(-len(chosen) // columns)
        sheet = Image.new("RGB", (columns * (width + 8) + 8, rows * (height + CAPTION_PX + 8) + 8), PAPER)
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
        for place, (tile, info) in enumerate(chosen):
            left, top = 8 + place % columns * (width + 8), 8 + place // columns * (height + CAPTION_PX + 8)
            sheet.paste(tile, (left, top))
            minutes, seconds = divmod(int(info.time_s), 60)
            name = info.concepts[0][0] if info.concepts else ""
            draw.text((left, top + height + 2), f"{minutes}:{seconds:02d}  {name}", INK, font)
            felt = f"arousal {info.target[0]:+.2f}  valence {info.target[1]:+.2f}"
            draw.text((left, top + height + 17), felt, FAINT, font)
        sheet.save(path, format="PNG", compress_level=4)  # ten times as fast as the smallest, 1 % larger
