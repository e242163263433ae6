"""What an engine of one's own pictures is made of: the files of a folder, and the table that rates them."""

from dataclasses import dataclass
from pathlib import Path

import services.generator
from deepsing.local.failures import USAGE, CommandError
from training.generator.own.folder import MAX_PICTURES, FoundPicture, LeftOut, choose_pictures, find_pictures
from training.generator.own.ratings import TableRow, match_ratings, read_ratings

__all__ = ["SHIPPED", "OwnPictures", "find_own_pictures"]

SHIPPED = Path(services.generator.__file__).parent / "weights" / "canvas.onnx"  # whose encoder and decoder are used
TABLE = "ratings.csv"  # of the folder of pictures; used unless another table is given


@dataclass(frozen=True)
class OwnPictures:
    """The pictures of a folder that are to be read, and the rows of the table that rates them."""

    folder: Path
    chosen: list[FoundPicture]
    rows: dict[str, TableRow]  # by FoundPicture.file
    table: Path | None
    left_out: list[LeftOut]
    notes: list[str]


def find_own_pictures(folder: Path, table: Path | None) -> OwnPictures:
    """Lists what an engine is made of, without opening a picture.

    Args:
        folder: of the pictures.
        table: of ratings; None takes the folder's own, if there is one.

    Raises:
        CommandError: it is no folder, or holds far too many files, or the table breaks a rule.
    """
    found, left_out = find_pictures(folder)
    chosen, notes = choose_pictures(found), []
    if len(chosen) < len(found):
        notes.append(
            f"{len(found) - len(chosen)} of {len(found)} pictures are left out: an engine holds {MAX_PICTURES}, taken "
            "evenly in the order of their names"
        )
    if table is None and (folder / TABLE).is_file():
        table = folder / TABLE
    if table is None:
        return OwnPictures(folder, chosen, {}, None, left_out, notes)
    rows, strange = match_ratings(read_ratings(table), found)
    notes += [f"{table.name}, line {row.line}: {row.file or '(no name)'} is not among the pictures" for row in strange]
    if not rows:
        raise CommandError(f"{table} rates none of the pictures in {folder}; name them as they are called there", USAGE)
    return OwnPictures(folder, chosen, rows, table, left_out, notes)
