"""Reads a folder of rated songs: labels.csv in any of the three kinds, and per_measure.json beside it."""

__all__ = ["LABELS_HELP", "LabelsError", "RatedSong", "assign_fold", "is_kept", "read_labels"]


import csv
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

QUADRANT_SIGNS = {"1": (1.0, 1.0), "2": (1.0, -1.0), "3": (-1.0, -1.0), "4": (-1.0, 1.0)}  # (arousal, valence)
AROUSAL_EMOTIONS = (("joyful_activation", "power", "tension"), ("calmness", "tenderness", "sadness"))
VALENCE_EMOTIONS = (("joyful_activation", "tenderness", "calmness", "amazement"), ("tension", "sadness"))
FOLD_COUNT = 10
LABELS_HELP = """labels.csv has one row for each song and these columns:
  file                      the song's file in the same folder: audio, or MIDI (.mid, .midi)
and what people felt, in one of three forms:
  arousal, valence          -1 to 1; 0 is neutral
  quadrant                  1 high arousal, high valence     2 high arousal, low valence
                            3 low arousal, low valence       4 low arousal, high valence
  joyful_activation, power, tension, calmness, tenderness, sadness, amazement
                            of each emotion the share of listeners who felt it, 0 to 1 (columns of Emotify)
and, if you like:
  artist, or else game      the group: songs of one group are never on both sides of a cross-validation
                            (default: each song by itself)
  tag_arousal, tag_valence  beside quadrant: mean norms of the song's mood tags, any scale; training uses them
  duration_s                seconds that the curve in per_measure.json covers (default: the whole song)
per_measure.json, if there is one, holds curves: {"FILE": {"arousal": [...], "valence": [...]}}, one value for each
measure, -1 to 1, evenly spread over the song.
"""


class LabelsError(ValueError):
    """The folder's labels cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class RatedSong:
    """A song with what people felt.

    Attributes:
        path: the audio or MIDI file.
        arousal: [-1, 1], 0 = neutral.
        valence: [-1, 1], 0 = neutral.
        kind: "rating", "quadrant" (arousal and valence are -1 or 1) or "emotions".
        group: songs of one group (artist, game) must not be split between training and test.
        row: the row of labels.csv.
        curve: (measures, 2), arousal and valence per measure, or None.
        duration_s: length that the measures are spread over, seconds; 0 if not stated.
    """

    path: Path
    arousal: float
    valence: float
    kind: str
    group: str
    row: Mapping[str, str]
    curve: F64 | None = None
    duration_s: float = 0.0


def assign_fold(group: str) -> int:
    """The fold [0, 10) of a group: the first eight hex digits of the SHA-256 of its name, modulo 10.

    It depends on the name alone, so that no fold changes when songs come or go.
    """
    return int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) % FOLD_COUNT


def is_kept(group: str) -> bool:
    """True for the third of all groups that no choice was made on; it depends on the name alone."""
    return int(hashlib.sha256(f"kept {group}".encode()).hexdigest()[:8], 16) % 3 == 0


def read_labels(folder: Path, warn: Callable[[str], None] | None = None) -> list[RatedSong]:
    """Reads the rated songs of a folder.

    Columns: `file`, and `arousal` + `valence` (-1..1), or `quadrant` (1 high A high V, 2 high A low V, 3 low A low V,
    4 low A high V), or Emotify's nine emotions (shares of raters). A file `per_measure.json` beside the table maps
    files to `{"arousal": [...], "valence": [...]}`, spread evenly over the column `duration_s`.

    Args:
        folder: holds the table and the songs.
        warn: called with each row or curve that cannot be used, which is then left out; without it, such a one raises.

    Raises:
        LabelsError: no table, unknown columns, a bad value, a song that is not there.
    """
    table = folder / "labels.csv"
    if not table.is_file():
        raise LabelsError(f"{table} is missing; give a folder with a labels.csv")
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise LabelsError(f"{table} has no rows; list at least one song")
    curves = _read_curves(folder / "per_measure.json", warn)
    songs = []
    for number, row in enumerate(rows, start=2):
        try:
            songs.append(_parse_song(folder, row, number, curves))
        except LabelsError as error:
            _warn_or_raise(str(error), warn)
    return songs


def _read_curves(path: Path, warn: Callable[[str], None] | None) -> dict[str, F64]:
    """The curves of a collection by file name; those that cannot be read are warned of and left out, or raise."""
    if not path.is_file():
        return {}
    curves = {}
    try:
        pieces = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        pieces = {}
        _warn_or_raise(f"{path} cannot be read ({error}); it maps a file to its lists arousal and valence", warn)
    for name, piece in pieces.items():
        try:
            curves[name] = np.array([piece["arousal"], piece["valence"]], np.float64).T
            if curves[name].ndim != 2 or not np.isfinite(curves[name]).all():
                raise ValueError("they hold other things than numbers")
        except (ValueError, KeyError, TypeError, IndexError) as error:
            curves.pop(name, None)
            _warn_or_raise(f"{path}: {name} ({error!r}); give equally long lists arousal and valence", warn)
    return curves


def _warn_or_raise(message: str, warn: Callable[[str], None] | None) -> None:
    if warn is None:
        raise LabelsError(message)
    warn(f"{message}; left out")


def _parse_song(folder: Path, row: dict[str, str], number: int, curves: Mapping[str, F64]) -> RatedSong:
    where = f"{folder / 'labels.csv'} line {number}"
    name = row.get("file") or ""
    path = folder / name
    if not name or not path.is_file():
        raise LabelsError(f"{where}: file is {name!r}; name a file of the folder")
    try:
        arousal, valence, kind = _parse_rating(row)
        duration_s = float(row.get("duration_s") or 0.0)
    except (ValueError, KeyError) as error:
        raise LabelsError(
            f"{where}: {error}; give arousal and valence from -1 to 1, or a quadrant 1 to 4, or the nine emotions"
        ) from error
    group = row.get("artist") or row.get("game") or name
    return RatedSong(path, arousal, valence, kind, group, row, curves.get(name), duration_s)


def _parse_rating(row: Mapping[str, str]) -> tuple[float, float, str]:
    if row.get("arousal") and row.get("valence"):
        values = float(row["arousal"]), float(row["valence"])
        if not all(-1.0 <= value <= 1.0 for value in values):
            raise ValueError(f"arousal, valence is {values}")
        return *values, "rating"
    if row.get("quadrant"):
        return *QUADRANT_SIGNS[row["quadrant"].strip()], "quadrant"
    if row.get("tension"):
        return _emotion_balance(row, AROUSAL_EMOTIONS), _emotion_balance(row, VALENCE_EMOTIONS), "emotions"
    raise ValueError(f"the columns are {', '.join(row)}")


def _emotion_balance(row: Mapping[str, str], emotions: tuple[tuple[str, ...], tuple[str, ...]]) -> float:
    """Shares that speak for a dimension minus shares against it, over the number of the larger side: [-1, 1]."""
    for_it, against = ([float(row[name]) for name in names] for names in emotions)
    return (sum(for_it) - sum(against)) / max(len(for_it), len(against))
