"""Fits the head: a regularised linear level for whole pieces, and linear moves for what changes inside them.

Averages over few windows are noisy. Training on stretches of random length would teach the level to bear that; for a
linear level this has a closed form: the covariance of windows inside songs, over the number of windows of a short
stretch, is added to the ridge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.corpus import HeardSong
from services.audio_sentiment.sentiment import FEATURE_LIMIT, WINDOW_S, Head, Pacing, ramp

__all__ = ["Recipe", "Studied", "fit_head", "study", "targets"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
TIME_WEIGHT = 3.0  # of the time feature before the ridge: it is one, the others are hundreds


@dataclass(frozen=True)
class Recipe:
    """What was chosen by cross-validation.

    Attributes:
        level_ridge: of the level, in variances of a feature.
        stretch_windows: length of the shortest stretch that the level should bear, half seconds.
        moves_ridge: of the moves, in pieces.
        moves_gain: the moves' size; 1 would be the least-squares size, which hardly moves.
        collection_weights: how much a song counts; 1 where none is stated.
        spread: standard deviation of arousal and valence over a balanced collection, on the common scale.
        rating_gain: common scale per unit of a continuous rating (raters use the middle of their scale only).
    """

    level_ridge: float = 0.12
    stretch_windows: float = 20.0
    moves_ridge: float = 20.0
    moves_gain: float = 4.5
    collection_weights: tuple[tuple[str, float], ...] = (("emotify", 0.8),)
    spread: float = 0.45
    rating_gain: float = 1.9


@dataclass(frozen=True)
class Studied:
    """A song as the fit sees it.

    Attributes:
        song: the song.
        raw: (windows, features), before standardisation.
        target: (2,), arousal and valence on the common scale.
    """

    song: HeardSong
    raw: F32
    target: F64


def study(songs: Sequence[HeardSong], dense: Mapping[str, F32], recipe: Recipe) -> list[Studied]:
    """Computes the features of all windows and the targets on the common scale."""
    plain = _head_with(dense, np.zeros(1, np.float32), np.ones(1, np.float32))
    wanted = targets(songs, recipe)
    return [
        Studied(song, np.stack([plain.raw_features(window) for window in song.windows]), target)
        for song, target in zip(songs, wanted, strict=True)
    ]


def targets(songs: Sequence[HeardSong], recipe: Recipe) -> F64:
    """Brings each collection's ratings to the common scale, (songs, 2).

    Quadrants: signs, half and half with the tags' word norms where given, as the norms say how far. Emotions: centred,
    as their nine names lean to the pleasant. Continuous ratings: widened; their 0 is the scale's 0.
    """
    felt = np.array([(song.rating.arousal, song.rating.valence) for song in songs])
    kinds = np.array([song.rating.kind for song in songs])
    answer = felt * recipe.rating_gain
    for kind in ("quadrant", "emotions"):
        chosen = np.flatnonzero(kinds == kind)
        if not chosen.size:
            continue
        values = felt[chosen]
        rows = [songs[int(i)].rating.row for i in chosen]
        if all("tag_arousal" in row for row in rows):
            norms = np.array([(float(row["tag_arousal"]), float(row["tag_valence"])) for row in rows])
            values = (values + _standardised(norms)) / 2
        answer[chosen] = recipe.spread * _standardised(values)
    return answer


def _standardised(values: F64) -> F64:
    return np.asarray((values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9))


def fit_head(songs: Sequence[Studied], dense: Mapping[str, F32], recipe: Recipe) -> Head:
    """Fits a head on some songs; dense are the network's layers that it carries along."""
    every_fourth = np.concatenate([song.raw[::4] for song in songs])
    mean, spread = every_fourth.mean(axis=0), every_fourth.std(axis=0) + 1e-3
    plain = [np.clip((song.raw - mean) / spread, -FEATURE_LIMIT, FEATURE_LIMIT).astype(np.float64) for song in songs]
    level, bias = _fit_level(songs, plain, recipe)
    moves, settling = _fit_moves(songs, plain, recipe)
    fitted = {"level": level, "level_bias": bias, "moves": moves, "settling": settling}
    return _head_with(dense, mean, spread, **fitted)


def _head_with(dense: Mapping[str, F32], mean: F32, spread: F32, **fitted: F64) -> Head:
    names = ("level", "level_bias", "moves", "settling")
    arrays = {name: np.asarray(fitted.get(name, 0.0), np.float32) for name in names}
    return Head.from_arrays({**dense, "mean": mean, "spread": spread, **arrays})


def _fit_level(songs: Sequence[Studied], plain: Sequence[F64], recipe: Recipe) -> tuple[F64, F64]:
    """Ridge from a song's average to its target; returns (features, 2) and (2,)."""
    chosen_weights = dict(recipe.collection_weights)
    weights = np.array([chosen_weights.get(song.song.collection, 1.0) for song in songs])[:, None]
    averages, wanted = np.stack([z.mean(axis=0) for z in plain]), np.stack([song.target for song in songs])
    centre, middle = ((v * weights).sum(axis=0) / weights.sum() for v in (averages, wanted))
    inside = sum(np.cov(z.T) for z in plain if len(z) > 1) / len(plain)
    x = averages - centre
    penalty = recipe.level_ridge * np.eye(x.shape[1]) + inside / recipe.stretch_windows
    level = np.linalg.solve(x.T @ (x * weights) + weights.sum() * penalty, x.T @ ((wanted - middle) * weights))
    return level, middle - centre @ level


def _fit_moves(songs: Sequence[Studied], plain: Sequence[F64], recipe: Recipe) -> tuple[F64, F64]:
    """Ridge from smoothed features to the rating's course inside pieces; returns (features, 2) and (2,).

    Every piece counts alike, however much its ratings move. The last feature is time: raters settle into a piece.
    """
    features = plain[0].shape[1]
    square, product, pieces, size = 1e-9 * np.eye(features + 1), np.zeros((features + 1, 2)), 0, np.zeros(2)
    for song, z in zip(songs, plain, strict=True):
        curve = song.song.rating.curve
        if curve is None or len(curve) < 3:
            continue
        x = _course(z, len(curve), song.song.rating.duration_s)
        x, y = x - x.mean(axis=0), curve - curve.mean(axis=0)
        square += x.T @ x / len(x)
        product += x.T @ (y / (y.std(axis=0) + 0.02)) / len(x)
        pieces, size = pieces + 1, size + y.std(axis=0)
    if not pieces:
        return np.zeros((features, 2)), np.zeros(2)
    moves = np.linalg.solve(square + recipe.moves_ridge * np.eye(features + 1), product)
    moves *= recipe.moves_gain * recipe.rating_gain * size / pieces
    return np.asarray(moves[:-1]), np.asarray(TIME_WEIGHT * moves[-1])


def _course(z: F64, measures: int, duration_s: float) -> F64:
    """Features in the middle of each measure, (measures, features + 1): smoothed ones, and how far raters settled."""
    pacing = Pacing()
    keep, total, weight = np.exp(-WINDOW_S / pacing.smoothing_s), np.zeros(z.shape[1]), 0.0
    smooth = np.empty_like(z)
    for k, row in enumerate(z):
        total, weight = total * keep + row, weight * keep + 1.0
        smooth[k] = total / weight
    known_s = (np.arange(len(z)) + 1) * WINDOW_S
    middles_s = (np.arange(measures) + 0.5) * (duration_s or known_s[-1]) / measures
    columns = [np.interp(middles_s, known_s, column) for column in smooth.T]
    return np.stack([*columns, TIME_WEIGHT * ramp(middles_s, pacing.settling_s)], axis=1)
