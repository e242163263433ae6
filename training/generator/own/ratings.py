"""What is felt at each of one's own pictures: by a table of ratings, by the names of folders, or by the labeller.

The first of the three that says something of a picture counts. The labeller reads every picture in any case: what it
reads decides between pictures that were rated alike.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepsing.local.failures import USAGE, CommandError
from services.generator.concepts import RATERS, from_rating
from services.translator.catalogue import EMBEDDED
from services.translator.judge.model import PictureFeatures, load_judge
from training.generator.own.folder import FoundPicture, clean_name
from training.generator.own.reading import U8
from training.generator.rate_pictures import apply_lines

__all__ = ["LABELLER_FILES", "Labeller", "Rating", "TableRow", "choose_rating", "match_ratings", "read_ratings"]

LABELLER_FILES = (EMBEDDED / "eyes.onnx", EMBEDDED / "labeller.npz")
TO_PEOPLE = np.array([(1.1153, 0.0095), (1.0251, 0.0167)])  # slope, offset; training.generator.rate_pictures fits them
MAX_TABLE_BYTES = 4 * 2**20
SCALES = (("arousal_mean", "valence_mean", "1 to 7"), ("arousal", "valence", "-1 to 1"))


@dataclass(frozen=True)
class Rating:
    """What is felt at a picture."""

    arousal: float  # -1 to 1
    valence: float
    rated_by: str  # "people" or "model"
    source: str  # "table", "folder" or "labeller"


@dataclass(frozen=True)
class TableRow:
    """A row of a table of ratings."""

    line: int
    file: str
    name: str  # of the concept; empty where the table has none
    rating: Rating


class Labeller:
    """The model that says what people would feel at a picture, on the scale of people's ratings."""

    def __init__(self) -> None:
        eyes, labeller = LABELLER_FILES
        self._features, self._labeller = PictureFeatures(eyes), load_judge(labeller)

    def read(self, picture: U8) -> tuple[float, float]:
        """Arousal and valence of a picture (H, W, 3), by its middle square."""
        read = apply_lines(self._labeller.read(self._features.extract([picture]), [()]), TO_PEOPLE)
        return float(read[0, 0]), float(read[0, 1])


def choose_rating(picture: FoundPicture, row: TableRow | None, read: tuple[float, float]) -> Rating:
    """The rating of a picture: the table's, else its folder's, else the labeller's reading."""
    if row is not None:
        return row.rating
    if picture.feeling is not None:
        return Rating(*picture.feeling, "people", "folder")
    return Rating(*read, "model", "labeller")


def read_ratings(path: Path) -> list[TableRow]:
    """Reads a table of ratings.

    Args:
        path: CSV with the columns file and arousal_mean, valence_mean (1 to 7) or arousal, valence (-1 to 1); if there
            are any, concept or name, and rated_by (people or model).

    Raises:
        CommandError: it is no such table, rates a file twice, or holds a rating outside its scale.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_TABLE_BYTES + 1)
    if len(raw) > MAX_TABLE_BYTES:
        raise CommandError(f"{path} has more than {MAX_TABLE_BYTES} bytes; give a table with a row a picture", USAGE)
    try:
        table = csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True)
        scale = _find_scale(path, table.fieldnames or ())
        rows = [_parse_row(path, table.line_num, row, scale) for row in table]
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not UTF-8; save it as CSV UTF-8", USAGE) from None
    except csv.Error as error:
        raise CommandError(f"{path} is no CSV ({error}); save it as CSV UTF-8, with commas", USAGE) from None
    seen: set[str] = set()
    for row in rows:
        if row.file in seen:
            raise CommandError(f"{path}, line {row.line}: {row.file} was rated before; keep one of its rows", USAGE)
        seen.add(row.file)
    return rows


def match_ratings(
    rows: Iterable[TableRow], pictures: Sequence[FoundPicture]
) -> tuple[dict[str, TableRow], list[TableRow]]:
    """Finds the pictures that a table rates.

    A row names a picture by its path below the folder, or by its name alone where no other has it.

    Returns:
        The row of each picture, by its path; and rows that name none.
    """
    paths = {picture.file: picture.file for picture in pictures}
    by_name: dict[str, list[str]] = {}
    for picture in pictures:
        by_name.setdefault(picture.path.name, []).append(picture.file)
    paths = {name: files[0] for name, files in by_name.items() if len(files) == 1} | paths
    matched: dict[str, TableRow] = {}
    strange = []
    for row in rows:
        file = paths.get(row.file)
        if file is None or file in matched:
            strange.append(row)
        else:
            matched[file] = row
    return matched, strange


def _find_scale(path: Path, columns: Sequence[str]) -> tuple[str, str, str]:
    for scale in SCALES:
        if {"file", *scale[:2]} <= set(columns):
            return scale
    ways = " or ".join(f"{arousal}, {valence} ({span})" for arousal, valence, span in SCALES)
    raise CommandError(f"{path} has the columns {', '.join(columns) or 'none'}; give file and {ways}", USAGE)


def _parse_row(path: Path, line: int, row: Mapping[str, str], scale: tuple[str, str, str]) -> TableRow:
    arousal, valence = (_parse_value(path, line, row, column, scale[2]) for column in scale[:2])
    rated_by = (row.get("rated_by") or "people").strip().lower()
    if rated_by not in RATERS:
        raise CommandError(f"{path}, line {line}: rated_by is {rated_by[:40]!r}; use people or model", USAGE)
    file = (row["file"] or "").strip().replace("\\", "/").removeprefix("./")
    name = clean_name(row.get("concept") or row.get("name") or "")
    return TableRow(line, file, name, Rating(arousal, valence, rated_by, "table"))


def _parse_value(path: Path, line: int, row: Mapping[str, str], column: str, span: str) -> float:
    text = row[column] or ""
    try:
        value = float(text)
        value = from_rating(value) if span == "1 to 7" else value
    except ValueError:
        value = math.nan
    if not -1 <= value <= 1:
        raise CommandError(f"{path}, line {line}: {column} is {text[:40]!r}; give a number from {span}", USAGE)
    return value
