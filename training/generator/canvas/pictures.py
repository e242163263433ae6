"""The list of pictures that an engine learns: what they are called, who rated them, and the pictures themselves."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.generator.canvas_codes import NATIVE_SIZE_PX
from services.generator.framing import crop_picture

__all__ = ["ListedPicture", "load_pictures", "read_list"]

MIDDLE = 0.5


@dataclass(frozen=True)
class ListedPicture:
    """One row of the list."""

    file: str  # path in the folder of pictures
    name: str
    arousal: float  # -1 to 1
    valence: float
    theme: str = ""
    rated_by: str = "people"  # or "model"
    focus: tuple[float, float] = (MIDDLE, MIDDLE)  # where the subject is, 0 to 1 from the left and from the top


def read_list(path: Path) -> list[ListedPicture]:
    """Reads the list.

    Args:
        path: CSV with the columns file, name (or title), arousal, valence, and if there are any folder, theme,
            rated_by, focus_x, focus_y. A row without ratings of its own takes labeller_arousal, labeller_valence.

    Raises:
        ValueError: two pictures have one name, or a row has no rating.
    """
    with path.open(newline="", encoding="utf-8") as lines:
        listed = [_parse_row(row) for row in csv.DictReader(lines)]
    names = [picture.name for picture in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path.name}: two pictures are called {twice[0]!r}; give each its own name")
    return listed


def _parse_row(row: dict[str, str]) -> ListedPicture:
    folder = row.get("folder") or ""
    by_people = bool(row["arousal"])
    arousal, valence = (row["arousal"], row["valence"]) if by_people else (
        row.get("labeller_arousal", ""),
        row.get("labeller_valence", ""),
    )
    if not arousal or not valence:
        raise ValueError(f"{row['file']} has no rating; give arousal and valence, -1 to 1")
    return ListedPicture(
        file=f"{folder}/{row['file']}" if folder else row["file"],
        name=row.get("name") or row["title"],
        arousal=float(arousal),
        valence=float(valence),
        theme=row.get("theme") or "",
        rated_by=row.get("rated_by") or ("people" if by_people else "model"),
        focus=(float(row.get("focus_x") or MIDDLE), float(row.get("focus_y") or MIDDLE)),
    )


def load_pictures(
    folder: Path, listed: list[ListedPicture], size_px: tuple[int, int] = NATIVE_SIZE_PX
) -> NDArray[np.uint8]:
    """Reads pictures, each cropped around its subject and scaled: (N, H, W, 3), RGB; `size_px` is width, height."""
    made = np.empty((len(listed), size_px[1], size_px[0], 3), np.uint8)
    for place, picture in enumerate(listed):
        with Image.open(folder / picture.file) as image:
            made[place] = np.asarray(crop_picture(image.convert("RGB"), size_px, picture.focus))
    return made
