"""Cross-validation of a recipe: no artist, game or song is on both sides; the readings are the service's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.feature_extractor import Window
from services.audio_sentiment.sentiment import Pacing, SentimentModel, SentimentReader
from training.audio_sentiment.fit import FeaturedSong, Recipe, fit_sentiment_model
from training.audio_sentiment.labels import FOLD_COUNT, RatedSong
from training.audio_sentiment.report import Reading, report

__all__ = ["OutOfFold", "cross_validate", "tabulate"]

F32 = NDArray[np.float32]
OutOfFold = tuple[str, RatedSong, Reading]  # collection, song, and its reading by a model that never saw its group


def cross_validate(
    songs: Sequence[FeaturedSong], middles: Sequence[Sequence[Window]], dense: Mapping[str, F32], recipe: Recipe
) -> list[OutOfFold]:
    """Reads every song with a model fitted on the other folds.

    Args:
        songs: with their windows and targets.
        middles: for each song, the windows of the ten seconds in its middle, analysed alone; may be empty.
        dense: the network's layers that a model carries along.
        recipe: of the model.
    """
    readings = []
    for fold in range(FOLD_COUNT):
        model = fit_sentiment_model([song for song in songs if song.song.fold != fold], dense, recipe)
        for song, middle in zip(songs, middles, strict=True):
            if song.song.fold == fold:
                readings.append((song.song.collection, song.song.rating, _read(song.song.windows, middle, model)))
    return readings


def _read(windows: Sequence[Window], middle: Sequence[Window], model: SentimentModel) -> Reading:
    reader, short = SentimentReader(model, Pacing()), SentimentReader(model, Pacing())
    course = np.stack([reader.read(window) for window in windows])
    for window in middle:
        short.read(window)
    return Reading(reader.song_sentiment(), course, short.song_sentiment() if 0 < len(middle) < len(windows) else None)


def tabulate(readings: Sequence[OutOfFold]) -> dict[str, Any]:
    """The report of each collection, by name."""
    answer = {}
    for collection in sorted({name for name, _, _ in readings}):
        chosen = [(song, reading) for name, song, reading in readings if name == collection]
        answer[collection] = report(*zip(*chosen, strict=True))
    return answer
