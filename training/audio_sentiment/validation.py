"""Cross-validation of a recipe: no artist, game or song is on both sides; the readings are the service's."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.feature_extractor import Window
from services.audio_sentiment.readers import LiveReader, Pacing, SentimentReader, WholeReader
from services.audio_sentiment.sentiment import WINDOW_S, SentimentModel
from training.audio_sentiment.fit import FeaturedSong, Recipe, fit_sentiment_model
from training.audio_sentiment.labels import FOLD_COUNT, RatedSong
from training.audio_sentiment.passages import fit_passage_model
from training.audio_sentiment.report import Reading, report

__all__ = ["OutOfFold", "Validation", "cross_validate", "fit_doubt", "read_songs", "tabulate"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
OutOfFold = tuple[str, RatedSong, Reading]  # collection, song, and its reading by a model that never saw its group
Validation = dict[str, list[OutOfFold]]  # by hearing, "live" and "whole"
HEARD = (4, 8, 16, 32, 56)  # windows after which readings tell how wrong they are
SMALLEST = 1e-6
ERF = np.vectorize(math.erf)


def cross_validate(
    songs: Sequence[FeaturedSong], middles: Sequence[Sequence[Window]], dense: Mapping[str, F32], recipe: Recipe
) -> Validation:
    """Reads every song with models fitted on the other folds.

    Args:
        songs: with their windows and targets.
        middles: for each song, the windows of the ten seconds in its middle, analysed alone; may be empty.
        dense: the network's layers that a model carries along.
        recipe: of the model.
    """
    readings: Validation = {"live": [], "whole": []}
    for fold in range(FOLD_COUNT):
        others = [song for song in songs if song.song.fold != fold]
        chosen = [index for index, song in enumerate(songs) if song.song.fold == fold]
        if not chosen:
            continue
        found = read_songs(others, [songs[k] for k in chosen], [middles[k] for k in chosen], dense, recipe)
        for hearing, rows in found.items():
            readings[hearing] += rows
    return readings


def read_songs(
    learned: Sequence[FeaturedSong],
    read: Sequence[FeaturedSong],
    middles: Sequence[Sequence[Window]],
    dense: Mapping[str, F32],
    recipe: Recipe,
) -> Validation:
    """Reads songs with models fitted on others; `middles` belong to the former, see `cross_validate`."""
    model = fit_sentiment_model(learned, dense, recipe)
    passage_model = fit_passage_model([song.song for song in learned])
    readings: Validation = {"live": [], "whole": []}
    for song, middle in zip(read, middles, strict=True):
        for hearing, kind in (("live", LiveReader), ("whole", WholeReader)):
            reader, short = (kind(model, passage_model, Pacing()) for _ in range(2))
            course = _read_course(reader, song.song.windows)
            alone = None
            if 0 < len(middle) < len(song.song.windows):
                _read_course(short, middle)
                alone = short.song_sentiment()
            reading = Reading(reader.song_sentiment(), course, alone)
            readings[hearing].append((song.song.collection, song.song.rating, reading))
    return readings


def _read_course(reader: SentimentReader, windows: Sequence[Window]) -> F64:
    """Arousal and valence of every window, (windows, 2)."""
    found = [reading for window in windows for reading in reader.read(window)]
    found += reader.finish()
    return np.array([(reading.arousal, reading.valence) for reading in found])


def fit_doubt(readings: Sequence[OutOfFold], wanted: F64, model: SentimentModel) -> F64:
    """What live readings of songs are wrong by: `doubt` of `SentimentModel`, (2, 2).

    The probability of the right side of neutral is taken as that of a normal error; the two numbers of each dimension
    are those of the greatest likelihood on a grid.

    Args:
        readings: of whole songs, live.
        wanted: (songs, 2), their targets, in the same order.
        model: for its neutral.
    """
    rows = [
        ((count + 1) * WINDOW_S, reading.course[count] - model.neutral, target - model.neutral)
        for (_, _, reading), target in zip(readings, wanted, strict=True)
        for count in HEARD
        if count < len(reading.course)
    ]
    heard, read, truth = (np.array(column) for column in zip(*rows, strict=True))
    found = np.zeros((2, 2))
    for axis in range(2):
        right = (read[:, axis] > 0) == (truth[:, axis] > 0)
        best = -np.inf
        for lasting in np.arange(0.02, 0.8, 0.02):
            for passing in np.arange(0.0, 1.6, 0.1):
                errors = np.sqrt(lasting**2 + passing**2 / heard)
                sure = 0.5 + 0.5 * ERF(np.abs(read[:, axis]) / errors / np.sqrt(2.0))
                likelihood = float(np.log(np.where(right, sure, 1.0 - sure) + SMALLEST).mean())
                if likelihood > best:
                    best, found[axis] = likelihood, (lasting, passing)
    return found


def tabulate(readings: Sequence[OutOfFold]) -> dict[str, Any]:
    """The report of each collection, by name."""
    answer = {}
    for collection in sorted({name for name, _, _ in readings}):
        chosen = [(song, reading) for name, song, reading in readings if name == collection]
        answer[collection] = report(*zip(*chosen, strict=True))
    return answer
