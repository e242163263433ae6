"""The report on a model's readings of one collection: every measure with its interval, as data and as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.sentiment import WINDOW_S
from training.agreement import DIMENSIONS, bootstrap_intervals, compute_measures, pearson_r
from training.audio_sentiment.labels import RatedSong

__all__ = ["Reading", "format_table", "report", "mean_and_sd", "pool_collections", "quadrant_f1"]

F64 = NDArray[np.float64]

MEASURES = {"r": "r", "ccc": "CCC", "rmse": "RMSE", "accuracy": "sign"}
MIN_MEASURES = 3  # a shorter curve has no course to compare
# Sliders trail what people hear: with a reading that does not trail the music (whole), mean r inside the pieces of
# VGMIDI grows with the lag: .19 / .19 at 0 s, .35 / .25 at 4 s, .39 / .27 at 6 s (72 pieces that choices were made on).
RATER_LAG_S = 6.0
SETTLED_WINDOWS = 10  # the first five seconds of a song read near neutral: they say little about music


@dataclass(frozen=True)
class Reading:
    """A model's reading of a song.

    Attributes:
        song: (2,), arousal and valence of the whole.
        course: (windows, 2), the reading of every half second, from what was played until then.
        middle: (2,), of the ten seconds in its middle, analysed alone; None where the song is not longer.
    """

    song: F64
    course: F64
    middle: F64 | None = None


def report(songs: Sequence[RatedSong], readings: Sequence[Reading]) -> dict[str, Any]:
    """Compares readings with ratings.

    Returns:
        `n`; for `arousal` and `valence` each `r`, `ccc`, `rmse`, `accuracy`; `quadrant_f1`, None unless the ratings
        are quadrants; `intervals`, the 95 % intervals of all these over songs, by the same names. `context_10s` holds
        the same of the ten seconds in the middle of the `n` songs that are longer. Where songs have curves, `dynamics`
        is the mean within-piece r of both dimensions over `n` pieces, of a reading with the rating given RATER_LAG_S
        later; `dynamics_unshifted` is that with the rating of the same time. `readings`: mean, sd and n of what was
        read.
    """
    predicted = np.stack([reading.song for reading in readings])
    rated = np.array([(song.arousal, song.valence) for song in songs])
    signs = all(song.kind == "quadrant" for song in songs)
    answer = _measure(predicted, rated, signs)
    for name, lag_s in (("dynamics", RATER_LAG_S), ("dynamics_unshifted", 0.0)):
        pairs = zip(songs, readings, strict=True)
        courses = [c for song, reading in pairs if (c := _course_agreement(song, reading, lag_s)) is not None]
        if courses:
            inside = np.stack(courses)
            answer[name] = {"n": len(inside), **_means(inside)}
            answer["intervals"][name] = bootstrap_intervals(_means, inside)
    answer["readings"] = mean_and_sd(readings)
    kept = [(r.middle, f) for r, f in zip(readings, rated, strict=True) if r.middle is not None]
    if kept:
        short, truth = (np.stack(column) for column in zip(*kept, strict=True))
        answer["context_10s"] = _measure(short, truth, signs)
    return answer


def _measure(predicted: F64, rated: F64, signs: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"n": len(predicted)}
    intervals: dict[str, Any] = {}
    for i, name in enumerate(DIMENSIONS):
        answer[name] = compute_measures(rated[:, i], predicted[:, i])
        intervals[name] = bootstrap_intervals(compute_measures, rated[:, i], predicted[:, i])
    answer["quadrant_f1"] = quadrant_f1(predicted, rated) if signs else None
    if signs:
        f1 = bootstrap_intervals(lambda a, b: {"quadrant_f1": quadrant_f1(a, b)}, predicted, rated)
        intervals |= f1
    return answer | {"intervals": intervals}


def quadrant_f1(reading: F64, rating: F64) -> float:
    """Mean F1 over the quadrants that the ratings hold.

    Args:
        reading: (n, 2), arousal and valence.
        rating: (n, 2), of which only the signs count.
    """
    predicted, truth = ((2 * (xy[:, 0] >= 0) + (xy[:, 1] >= 0)) for xy in (reading, rating))
    scores = []
    for quadrant in np.unique(truth):
        hits = float(((predicted == quadrant) & (truth == quadrant)).sum())
        scores.append(2.0 * hits / float((predicted == quadrant).sum() + (truth == quadrant).sum()))
    return float(np.mean(scores))


def _means(values: F64) -> dict[str, float]:
    return dict(zip(DIMENSIONS, values.mean(axis=0).tolist(), strict=True))


def mean_and_sd(readings: Sequence[Reading]) -> dict[str, Any]:
    """Mean and sd of readings of whole songs, and their number, of both dimensions."""
    predicted = np.stack([reading.song for reading in readings])
    means, spreads = predicted.mean(axis=0).tolist(), predicted.std(axis=0).tolist()
    return {name: {"mean": means[i], "sd": spreads[i], "n": len(predicted)} for i, name in enumerate(DIMENSIONS)}


def _course_agreement(song: RatedSong, reading: Reading, lag_s: float) -> F64 | None:
    """Within-piece r of (arousal, valence) with the ratings given lag_s later; None without a curve."""
    if song.curve is None or len(song.curve) < MIN_MEASURES:
        return None
    measures, windows = len(song.curve), len(reading.course)
    middles_s = (np.arange(measures) + 0.5) * (song.duration_s or windows * WINDOW_S) / measures
    known_s = (np.arange(windows) + 1) * WINDOW_S
    predicted = [np.interp(middles_s - lag_s, known_s, column) for column in reading.course.T]
    return np.array([pearson_r(song.curve[:, i], predicted[i]) for i in range(2)])


def pool_collections(collections: Sequence[Sequence[Reading]]) -> dict[str, Any]:
    """Mean and sd of music in general: all points from the fifth second on, every collection counting alike."""
    points = [np.concatenate([reading.course[SETTLED_WINDOWS:] for reading in chosen]) for chosen in collections]
    points = [chosen for chosen in points if len(chosen)]
    if not points:
        return {}
    mean = np.mean([chosen.mean(axis=0) for chosen in points], axis=0)
    square = np.mean([np.square(chosen).mean(axis=0) for chosen in points], axis=0)
    rows = zip(DIMENSIONS, mean.tolist(), np.sqrt(square - mean**2).tolist(), strict=True)
    return {name: {"mean": m, "sd": s, "n": sum(map(len, points))} for name, m, s in rows}


def format_table(answer: Mapping[str, Any]) -> str:
    """The report as text: each measure with its 95 % interval."""
    lines = [f"{answer['n']} songs", *_rows(answer)]
    if "context_10s" in answer:
        short = answer["context_10s"]
        lines += [f"ten seconds in the middle of {short['n']} songs", *_rows(short)]
    if "dynamics" in answer:
        moves, bounds = answer["dynamics"], answer["intervals"]["dynamics"]
        rs = ", ".join(f"{_cell(moves[name], bounds[name])} {name}" for name in DIMENSIONS)
        unshifted = ", ".join(f"{answer['dynamics_unshifted'][name]:.3f}" for name in DIMENSIONS)
        lines.append(
            f"inside {moves['n']} pieces, ratings {RATER_LAG_S:g} s later: mean r {rs}; of the same time: {unshifted}"
        )
    predicted = answer["readings"]
    spreads = ", ".join(f"{name} {predicted[name]['mean']:.3f} (sd {predicted[name]['sd']:.3f})" for name in DIMENSIONS)
    lines.append(f"mean of {predicted['arousal']['n']} readings: {spreads}")
    return "\n".join(lines) + "\n"


def _rows(answer: Mapping[str, Any]) -> list[str]:
    lines = [f"{'':10}" + "".join(f"{title:24}" for title in MEASURES.values()).rstrip()]
    for name in DIMENSIONS:
        cells = (f"{_cell(answer[name][key], answer['intervals'][name][key]):24}" for key in MEASURES)
        lines.append(f"{name:10}" + "".join(cells).rstrip())
    if answer["quadrant_f1"] is not None:
        lines.append(f"quadrants, macro F1: {_cell(answer['quadrant_f1'], answer['intervals']['quadrant_f1'])}")
    return lines


def _cell(value: float, bounds: Sequence[float]) -> str:
    return f"{value:.3f} [{bounds[0]:.3f}, {bounds[1]:.3f}]"
