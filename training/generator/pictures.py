"""Tables of pictures: their names, themes and sentiments, and what of each file is shown.

The chosen pictures, which the embedded engine shows, are in pictures.csv beside this file;
training.generator.picture_sources says where each file comes from, and training.generator.rate_pictures fills in the
sentiments. No picture file is part of the repository.
`python -m training.generator.pictures counts` prints how many there are by quadrant and by theme;
`python -m training.generator.pictures check --pictures DIR` checks the table against the files.
"""

import argparse
import csv
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from training.generator.canvas.framing import choose_crop

__all__ = [
    "Picture",
    "Readings",
    "Window",
    "load_pictures",
    "read_list",
    "open_picture",
    "crop_window",
    "COLUMNS",
    "PICTURES",
    "THEMES",
    "RATED_BY",
    "SHORT_SIDE_PX",
    "format_counts",
    "main",
]

PICTURES = Path(__file__).parent / "pictures.csv"
COLUMNS = (
    "file",
    "name",
    "theme",
    "also",
    "arousal",
    "valence",
    "rated_by",
    "judge_arousal",
    "judge_valence",
    "focus_x",
    "focus_y",
    "left",
    "top",
    "width",
    "height",
)
THEMES = (
    "animals",
    "city",
    "fire",
    "flowers",
    "land",
    "mountains",
    "night",
    "paintings",
    "ruins",
    "sea",
    "sky",
    "snow",
    "storm",
    "things",
    "water",
    "woods",
)
RATED_BY = ("people", "model")
CALM_AROUSAL, PLEASANT_VALENCE = -0.05, 0.1  # a calm and pleasant picture lies below the one and above the other
SHORT_SIDE_PX = 512  # of a painting's detail, at the least: what the engine paints
OASIS_SHORT_SIDE_PX = 400  # as the rated photos are given
ROUNDING = 1e-4  # of the shares in the table
MIDDLE = 0.5  # where the subject is if a table does not say
Readings = tuple[float, float]  # arousal and valence


@dataclass(frozen=True)
class Window:
    """The part of a file that is shown, in shares of the file's width and height."""

    left: float = 0.0
    top: float = 0.0
    width: float = 1.0
    height: float = 1.0


@dataclass(frozen=True)
class Picture:
    """A picture, what people call it, and what is felt at it. Of a chosen one all is known, and as it is said here."""

    file: str  # below the folder of pictures, with "/"
    name: str  # unique, plain English, lower case
    theme: str  # one of THEMES
    also: str  # a second theme, or ""
    arousal: float  # -1..1
    valence: float  # -1..1
    rated_by: str  # one of RATED_BY
    judge: Readings | None = None  # the judge's reading, where a model rated the picture
    focus: tuple[float, float] = (MIDDLE, MIDDLE)  # of the subject, x and y in shares of the window
    window: Window = Window()  # all of the file where the table does not say

    @property
    def themes(self) -> tuple[str, ...]:
        """Its theme and its second theme, as far as it has them."""
        return tuple(filter(None, (self.theme, self.also)))

    @property
    def quadrant(self) -> str:
        """Joyful, tense, sad or calm; a picture at 0 counts as not below."""
        if self.arousal < 0:
            return "sad" if self.valence < 0 else "calm"
        return "tense" if self.valence < 0 else "joyful"

    @property
    def is_calm_and_pleasant(self) -> bool:
        """Clearly below the middle in arousal, and clearly above it in valence."""
        return self.arousal < CALM_AROUSAL and self.valence > PLEASANT_VALENCE


def load_pictures(table: Path = PICTURES) -> list[Picture]:
    """Reads the chosen pictures in the order of the engine's concepts.

    Raises:
        ValueError: a column is missing, a name is given twice or is not plain, a theme is unknown, or a value lies
            outside its range.
    """
    with table.open(newline="", encoding="utf-8") as lines:
        columns = csv.DictReader(lines).fieldnames or ()
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise ValueError(f"{table.name} has no column {missing[0]}; give {', '.join(COLUMNS)}")
    pictures = read_list(table)
    for picture in pictures:
        _check_chosen(picture)
    return pictures


def read_list(table: Path, rated: bool = True) -> list[Picture]:
    """Reads any table of pictures.

    Args:
        table: CSV with the columns file, name (or title, or concept), arousal, valence, and if there are any folder,
            and those of COLUMNS. A row without ratings of its own takes labeller_arousal, labeller_valence.
        rated: refuse rows without a rating; else they count as neutral.

    Raises:
        ValueError: two pictures have one name, a row has no rating, or a value lies outside its range.
    """
    with table.open(newline="", encoding="utf-8") as lines:
        pictures = [_parse_picture(row, rated) for row in csv.DictReader(lines)]
    names = Counter(picture.name for picture in pictures)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ValueError(f"{table.name}: two pictures are called {twice[0]!r}; give each its own name")
    return pictures


def open_picture(folder: Path, picture: Picture, shape_px: tuple[int, int] | None = None) -> Image.Image:
    """Opens a picture as it is shown.

    Args:
        folder: holds the pictures.
        picture: one of the table.
        shape_px: width and height, of which the ratio counts, to crop to, around the focus; None keeps the window.

    Raises:
        OSError: there is no such file, or it is not a picture.
    """
    with Image.open(folder / picture.file) as opened:
        shown = crop_window(opened.convert("RGB"), picture.window)
    if shape_px is None:
        return shown
    left, top, right, bottom = choose_crop(shown.size, shape_px, picture.focus)
    x, y = round(left), round(top)
    return shown.crop((x, y, x + round(right - left), y + round(bottom - top)))


def crop_window(image: Image.Image, window: Window) -> Image.Image:
    """Cuts out a window; its edges are rounded to pixels."""
    left, top = round(window.left * image.width), round(window.top * image.height)
    right = min(left + round(window.width * image.width), image.width)
    return image.crop((left, top, right, min(top + round(window.height * image.height), image.height)))


def format_counts(pictures: Sequence[Picture]) -> str:
    """A table of how many pictures each theme has in each quadrant, by either of a picture's themes, and sums."""
    quadrants = ("joyful", "tense", "sad", "calm")
    lines = [f"{'theme':10}{''.join(f'{name:>8}' for name in quadrants)}{'all':>8}{'first':>8}"]

    def format_row(title: str, chosen: list[Picture]) -> str:
        found = Counter(picture.quadrant for picture in chosen)
        return f"{title:10}{''.join(f'{found[name]:8}' for name in quadrants)}{len(chosen):8}"

    for theme in THEMES:
        chosen = [picture for picture in pictures if theme in picture.themes]
        lines.append(f"{format_row(theme, chosen)}{sum(picture.theme == theme for picture in chosen):8}")
    for title, holds in GROUPS.items():
        lines.append(format_row(title, [picture for picture in pictures if holds(picture)]))
    pleasant = sum(picture.is_calm_and_pleasant for picture in pictures)
    lines.append(f"calm and pleasant (arousal < {CALM_AROUSAL:g}, valence > {PLEASANT_VALENCE:g}): {pleasant}")
    return "\n".join(lines)


GROUPS: dict[str, Callable[[Picture], bool]] = {
    "by people": lambda picture: picture.rated_by == "people",
    "by model": lambda picture: picture.rated_by == "model",
    "all": lambda picture: True,
}


def check_files(pictures: Sequence[Picture], folder: Path) -> list[str]:
    """What is wrong with the files of a folder, a line each: a file is missing, or a window shows too few pixels."""
    faults = []
    for picture in pictures:
        least_px = SHORT_SIDE_PX if picture.window != Window() else OASIS_SHORT_SIDE_PX
        try:
            shown = open_picture(folder, picture)
        except OSError as error:
            faults.append(f"{picture.file}: {error}")
            continue
        if min(shown.size) < least_px:
            faults.append(f"{picture.name}: shows {shown.width} x {shown.height} pixels; {least_px} is the least")
    return faults


def _parse_picture(row: dict[str, str], rated: bool) -> Picture:
    rating = ("arousal", "valence") if row.get("arousal") else ("labeller_arousal", "labeller_valence")
    if rated and not all(row.get(column) for column in rating):
        raise ValueError(f"{row['file']} has no rating; give arousal and valence, -1 to 1")
    folder, judge = row.get("folder"), ("judge_arousal", "judge_valence")
    arousal, valence = (_parse_number(row, column, -1.0, 0.0) for column in rating)
    return Picture(
        file=f"{folder}/{row['file']}" if folder else row["file"],
        name=_find_name(row),
        theme=row.get("theme") or "",
        also=row.get("also") or "",
        arousal=arousal,
        valence=valence,
        rated_by=row.get("rated_by") or ("people" if row.get("arousal") else "model"),
        judge=(_parse_number(row, judge[0], -1.0), _parse_number(row, judge[1], -1.0))
        if all(row.get(column) for column in judge)
        else None,
        focus=(_parse_number(row, "focus_x", 0.0, MIDDLE), _parse_number(row, "focus_y", 0.0, MIDDLE)),
        window=_parse_window(row),
    )


def _find_name(row: dict[str, str]) -> str:
    return row.get("name") or row.get("title") or row.get("concept") or ""


def _check_chosen(picture: Picture) -> None:
    """Raises ValueError where a picture is not said as those that the engine shows."""
    name = picture.name
    if not name or name != name.lower().strip() or not name.replace(" ", "").replace("-", "").isalpha():
        raise ValueError(f"a picture is called {name!r}; use lower-case words of letters")
    for column, theme in (("theme", picture.theme), ("also", picture.also)):
        if theme not in THEMES and not (column == "also" and not theme):
            raise ValueError(f"{column} of {name!r} is {theme!r}; choose from {', '.join(THEMES)}")
    if picture.theme == picture.also:
        raise ValueError(f"{name!r} has the theme {picture.theme!r} twice; leave 'also' empty")
    if picture.rated_by not in RATED_BY:
        raise ValueError(f"rated_by of {name!r} is {picture.rated_by!r}; choose from {', '.join(RATED_BY)}")
    if (picture.rated_by == "model") != (picture.judge is not None):
        rule = "give the judge's reading beside a model's, and beside no other"
        raise ValueError(f"{name!r} is rated by {picture.rated_by}; {rule}")


def _parse_window(row: dict[str, str]) -> Window:
    """What of the file is shown; everything where the table does not say (a table of sizes has no column left)."""
    if not row.get("left"):
        return Window()
    window = Window(*(_parse_number(row, column, 0.0) for column in ("left", "top", "width", "height")))
    right, bottom = window.left + window.width, window.top + window.height
    if not (min(window.width, window.height) > 0 and max(right, bottom) <= 1 + ROUNDING):
        raise ValueError(f"the window of {_find_name(row)!r} is {window}; it must lie within the file")
    return window


def _parse_number(row: dict[str, str], column: str, least: float, default: float = math.nan) -> float:
    """A number from `least` to 1; the default, if there is one, where the row has none.

    Raises:
        ValueError: it is no such number.
    """
    text = row.get(column) or ""
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not least <= value <= 1:
        raise ValueError(f"{column} of {_find_name(row)!r} is {text!r}; give a number from {least:g} to 1")
    return value


def main(arguments: list[str] | None = None) -> int:
    """Command line; 1 where a check found faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("counts", help="print how many pictures there are by quadrant and theme")
    check = commands.add_parser("check", help="check the table against the files")
    check.add_argument("--pictures", type=Path, required=True, help="folder of the pictures")
    options = parser.parse_args(arguments)
    pictures = load_pictures()
    if options.command == "counts":
        sys.stdout.write(format_counts(pictures) + "\n")
        return 0
    faults = check_files(pictures, options.pictures)
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
