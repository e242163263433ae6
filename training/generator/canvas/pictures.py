"""The list of pictures that an engine learns: what they are called, who rated them, and the pictures themselves."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.generator.canvas.codes import NATIVE_SIZE_PX
from training.generator.canvas.framing import choose_crop, crop_picture

__all__ = ["ListedPicture", "MIN_PICTURES", "find_focus", "load_pictures", "read_list"]

MIN_PICTURES = 3  # of an engine: its graph compares the three largest weights
MIDDLE = 0.5
WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class ListedPicture:
    """One row of the list."""

    file: str  # path in the folder of pictures
    name: str
    arousal: float  # -1 to 1
    valence: float
    theme: str = ""
    rated_by: str = "people"  # or "model"
    focus: tuple[float, float] = (MIDDLE, MIDDLE)  # where the subject is, 0 to 1 from the window's left and top
    window: tuple[float, float, float, float] = WHOLE  # left, top, width, height of what is shown, shares of the file
    also: str = ""  # a second theme


def read_list(path: Path, rated: bool = True) -> list[ListedPicture]:
    """Reads the list.

    Args:
        path: CSV with the columns file, name (or title, or concept), arousal, valence, and if there are any folder,
            theme, also (a second theme), rated_by, focus_x, focus_y, and left, top, width, height in shares of the
            file. A row without ratings of its own takes labeller_arousal, labeller_valence.
        rated: refuse rows without a rating; else they count as neutral.

    Raises:
        ValueError: two pictures have one name, or a row has no rating.
    """
    with path.open(newline="", encoding="utf-8") as lines:
        listed = [_parse_row(row, rated) for row in csv.DictReader(lines)]
    names = [picture.name for picture in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path.name}: two pictures are called {twice[0]!r}; give each its own name")
    return listed


def _parse_row(row: dict[str, str], rated: bool) -> ListedPicture:
    folder = row.get("folder") or ""
    arousal, valence = row.get("arousal"), row.get("valence")
    rated_by = row.get("rated_by") or ("people" if arousal else "model")
    if not arousal:
        arousal, valence = row.get("labeller_arousal"), row.get("labeller_valence")
    if rated and not (arousal and valence):
        raise ValueError(f"{row['file']} has no rating; give arousal and valence, -1 to 1")
    return ListedPicture(
        file=f"{folder}/{row['file']}" if folder else row["file"],
        name=row.get("name") or row.get("title") or row["concept"],
        arousal=float(arousal or 0),
        valence=float(valence or 0),
        theme=row.get("theme") or "",
        rated_by=rated_by,
        focus=(float(row.get("focus_x") or MIDDLE), float(row.get("focus_y") or MIDDLE)),
        window=_parse_window(row),
        also=row.get("also") or "",
    )


def _parse_window(row: dict[str, str]) -> tuple[float, float, float, float]:
    """What of the file is shown; everything where the table does not say (a table of sizes has no column left)."""
    if not row.get("left"):
        return WHOLE
    return float(row["left"]), float(row["top"]), float(row["width"]), float(row["height"])


def load_pictures(
    folder: Path, listed: list[ListedPicture], size_px: tuple[int, int] = NATIVE_SIZE_PX
) -> NDArray[np.uint8]:
    """Reads pictures, each cropped around its subject and scaled: (N, H, W, 3), RGB; `size_px` is width, height."""
    made = np.empty((len(listed), size_px[1], size_px[0], 3), np.uint8)
    for place, picture in enumerate(listed):
        with Image.open(folder / picture.file) as image:
            left, top, width, height = picture.window
            window = (left * image.width, top * image.height, width * image.width, height * image.height)
            made[place] = np.asarray(crop_picture(image.convert("RGB"), size_px, picture.focus, window))
    return made


def find_focus(picture: ListedPicture, folder: Path) -> tuple[float, float]:
    """Where the subject is in a picture as `load_pictures` crops it: down and across, 0 to 1."""
    with Image.open(folder / picture.file) as image:
        width, height = picture.window[2] * image.width, picture.window[3] * image.height
    left, top, right, bottom = choose_crop((width, height), NATIVE_SIZE_PX, picture.focus)
    return (picture.focus[1] * height - top) / (bottom - top), (picture.focus[0] * width - left) / (right - left)
