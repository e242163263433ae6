"""Cross-validation of a recipe: no artist, game or song is on both sides; the readings are the service's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.fit import Recipe, Studied, fit_head
from services.audio_sentiment.labels import FOLD_COUNT
from services.audio_sentiment.listening import Window
from services.audio_sentiment.metrics import agreement, bootstrap_interval, correlation, quadrant_f1
from services.audio_sentiment.sentiment import WINDOW_S, Head, Pacing, SongReader

__all__ = ["OutOfFold", "cross_validate", "tabulate"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
BLIND_WINDOWS = 9  # an embedding reaches 4.2 s back: so many windows of a stretch know what came before it
CONTEXT_WINDOWS = 20  # 10 s
DIMENSIONS = ("arousal", "valence")


@dataclass(frozen=True)
class OutOfFold:
    """Readings of a song by a head that never saw its group.

    Attributes:
        whole: (2,), of all its windows.
        context: (2,), of the ten seconds in its middle alone.
        course: (windows, 2), as streamed.
    """

    song: Studied
    whole: F64
    context: F64
    course: F64


def cross_validate(
    songs: Sequence[Studied], extra: Sequence[Studied], dense: Mapping[str, F32], recipe: Recipe
) -> list[OutOfFold]:
    """Reads every song with a head fitted on the other folds of `songs` and `extra` (louder and softer takes)."""
    readings: list[OutOfFold] = []
    for fold in range(FOLD_COUNT):
        unseen = [song for song in songs if song.song.fold == fold]
        head = fit_head([song for song in (*songs, *extra) if song.song.fold != fold], dense, recipe)
        readings.extend(_read(song, head) for song in unseen)
    return readings


def _read(song: Studied, head: Head) -> OutOfFold:
    windows = song.song.windows
    start = max(0, (len(windows) - CONTEXT_WINDOWS) // 2)
    inside = windows[start + BLIND_WINDOWS : start + CONTEXT_WINDOWS] or windows
    reader = SongReader(head, Pacing())
    course = np.stack([reader.read(window) for window in windows])
    return OutOfFold(song, reader.whole(), _whole(inside, head), course)


def _whole(windows: Sequence[Window], head: Head) -> F64:
    reader = SongReader(head, Pacing())
    for window in windows:
        reader.read(window)
    return reader.whole()


def tabulate(readings: Sequence[OutOfFold]) -> dict[str, Any]:
    """Compares readings with ratings, by collection: `whole`, `context_10s`, and `dynamics` where there are curves.

    Each of `whole` and `context_10s` holds per dimension r, ccc, rmse, accuracy and the 95 % intervals of r and
    accuracy over songs.
    """
    answer = {}
    for collection in sorted({reading.song.song.collection for reading in readings}):
        chosen = [reading for reading in readings if reading.song.song.collection == collection]
        ratings = [reading.song.song.rating for reading in chosen]
        felt = np.array([(rating.arousal, rating.valence) for rating in ratings])
        row: dict[str, Any] = {"n": len(chosen)}
        for name, said in (("whole", [r.whole for r in chosen]), ("context_10s", [r.context for r in chosen])):
            row[name] = {d: _measured(np.stack(said)[:, i], felt[:, i]) for i, d in enumerate(DIMENSIONS)}
            if ratings[0].kind == "quadrant":
                row[name]["quadrant_f1"] = round(quadrant_f1(np.stack(said), felt), 4)
        courses = [c for reading in chosen if (c := _course_agreement(reading)) is not None]
        if courses:
            row["dynamics"] = {d: _mean(np.stack(courses)[:, i]) for i, d in enumerate(DIMENSIONS)}
        answer[collection] = row
    return answer


def _measured(said: F64, felt: F64) -> dict[str, Any]:
    measures: dict[str, Any] = {key: round(value, 4) for key, value in agreement(said, felt).items()}
    for key in ("r", "accuracy"):
        low, high = bootstrap_interval(lambda a, b, key=key: agreement(a, b)[key], said, felt)  # type: ignore[misc]
        measures[f"{key}_95"] = [round(low, 3), round(high, 3)]
    return measures


def _mean(values: F64) -> dict[str, Any]:
    low, high = bootstrap_interval(lambda a, _: float(a.mean()), values, values)
    return {"r": round(float(values.mean()), 4), "r_95": [round(low, 3), round(high, 3)]}


def _course_agreement(reading: OutOfFold) -> F64 | None:
    rating = reading.song.song.rating
    if rating.curve is None or len(rating.curve) < 3:
        return None
    known_s = (np.arange(len(reading.course)) + 1) * WINDOW_S
    middles_s = (np.arange(len(rating.curve)) + 0.5) * (rating.duration_s or known_s[-1]) / len(rating.curve)
    said = [np.interp(middles_s, known_s, reading.course[:, i]) for i in range(2)]
    return np.array([correlation(said[i], rating.curve[:, i]) for i in range(2)])
