"""Cross-validation of a recipe: no artist, game or song is on both sides; the readings are the service's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.fit import Recipe, Studied, fit_head
from services.audio_sentiment.labels import FOLD_COUNT, RatedSong
from services.audio_sentiment.listening import Window
from services.audio_sentiment.report import Reading, report
from services.audio_sentiment.sentiment import Head, Pacing, SongReader

__all__ = ["OutOfFold", "cross_validate", "tabulate"]

F32 = NDArray[np.float32]
OutOfFold = tuple[str, RatedSong, Reading]  # collection, song, and its reading by a model that never saw its group


def cross_validate(
    songs: Sequence[Studied], middles: Sequence[Sequence[Window]], dense: Mapping[str, F32], recipe: Recipe
) -> list[OutOfFold]:
    """Reads every song with a head fitted on the other folds.

    Args:
        songs: with their windows and targets.
        middles: for each song, the windows of the ten seconds in its middle, heard alone.
        dense: the network's layers that a head carries along.
        recipe: of the head.
    """
    readings = []
    for fold in range(FOLD_COUNT):
        head = fit_head([song for song in songs if song.song.fold != fold], dense, recipe)
        for song, middle in zip(songs, middles, strict=True):
            if song.song.fold == fold:
                readings.append((song.song.collection, song.song.rating, _read(song.song.windows, middle, head)))
    return readings


def _read(windows: Sequence[Window], middle: Sequence[Window], head: Head) -> Reading:
    reader, short = SongReader(head, Pacing()), SongReader(head, Pacing())
    course = np.stack([reader.read(window) for window in windows])
    for window in middle:
        short.read(window)
    return Reading(reader.whole(), course, short.whole() if len(middle) < len(windows) else None)


def tabulate(readings: Sequence[OutOfFold]) -> dict[str, Any]:
    """The report of each collection, by name."""
    answer = {}
    for collection in sorted({name for name, _, _ in readings}):
        chosen = [(song, reading) for name, song, reading in readings if name == collection]
        answer[collection] = report(*zip(*chosen, strict=True))
    return answer
