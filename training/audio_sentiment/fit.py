"""Fits the model: a regularised level for whole pieces, and linear moves for what changes inside them.

Averages over few windows are noisy. Training on stretches of random length would make the level robust to that; for a
line this has a closed form: the covariance of windows inside songs, over the number of windows of a short stretch, is
added to the ridge. Distances between songs are taken in its measure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.readers import Pacing
from services.audio_sentiment.running_mean import ramp
from services.audio_sentiment.sentiment import FEATURE_LIMIT, WINDOW_S, SentimentModel, measure_audibility
from training.audio_sentiment.corpus import WindowedSong
from training.audio_sentiment.labels import RatedSong
from training.ratings import standardise

__all__ = [
    "Recipe",
    "FeaturedSong",
    "fit_sentiment_model",
    "compute_features",
    "targets",
    "fit_level",
    "pairwise_distances",
]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ridges = tuple[tuple[str, float], ...]
INSIDE_STEP = 3  # every third window is enough to estimate how windows differ inside a song
FLOOR = 1e-9  # of a deviation: ratings of a tiny collection may be all alike
MIN_MEASURES = 3  # a shorter curve has no course to compare
FITTED = ("level", "level_bias", "view", "centres", "centre_weights", "moves", "neutral", "doubt")
DOUBT = ((0.3, 0.5), (0.3, 0.5))  # until readings of songs that a model never saw tell
SETTLING_S = 30.0  # time constant with which raters settle into a piece
TIME_WEIGHT = 3.0  # of the time feature before the ridge: it is one, the others are hundreds


@dataclass(frozen=True)
class Recipe:
    """What was chosen by cross-validation.

    Attributes:
        level_ridge: of the level, for each kind of feature, in variances of a feature; inf leaves a kind out.
        stretch_windows: length of the shortest stretch that the level should be reliable for, half seconds.
        kernel_share: variance of what rated pieces near by add to the level's line.
        kernel_width: how near that is, in medians of the distance between two songs.
        kernel_dimensions: in which the distance is taken.
        moves_ridge: of the moves, likewise, in pieces; `time` is for the feature that is the time alone.
        moves_gain: the moves' size; 1 would be the least-squares size, which hardly moves.
        collection_weights: how much a song counts; 1 where none is stated.
        spread: standard deviation of arousal and valence over a balanced collection, on the common scale.
        rating_gain: common scale per unit of a continuous rating (raters use the middle of their scale only).
    """

    level_ridge: Ridges = (("hidden", 0.18), ("pools", 0.46), ("patch", 0.42), ("harmony", 0.06), ("timbre", 0.29))
    stretch_windows: float = 20.0
    kernel_share: float = 1.0
    kernel_width: float = 0.5
    kernel_dimensions: int = 64
    moves_ridge: Ridges = (("pools", 40.0), ("harmony", 13.0), ("timbre", 40.0), ("time", 40.0))
    moves_gain: float = 4.5
    collection_weights: tuple[tuple[str, float], ...] = (("emotify", 0.8),)
    spread: float = 0.45
    rating_gain: float = 1.9


@dataclass(frozen=True)
class FeaturedSong:
    """A song with its features and its target.

    Attributes:
        song: the song.
        raw: (windows, features), before standardisation.
        target: (2,), arousal and valence on the common scale.
    """

    song: WindowedSong
    raw: F32
    target: F64


def compute_features(songs: Sequence[WindowedSong], dense: Mapping[str, F32], recipe: Recipe) -> list[FeaturedSong]:
    """Computes the features of all windows and the targets on the common scale."""
    plain = _build_model(dense, np.zeros(1, np.float32), np.ones(1, np.float32))
    wanted = targets([song.rating for song in songs], recipe)
    return [
        FeaturedSong(song, np.stack([plain.raw_features(window) for window in song.windows]), target)
        for song, target in zip(songs, wanted, strict=True)
    ]


def targets(songs: Sequence[RatedSong], recipe: Recipe) -> F64:
    """Brings each collection's ratings to the common scale, (songs, 2).

    Quadrants: signs, half and half with the tags' word norms where given, as the norms say how far. Emotions: centred,
    as their nine names lean to the pleasant. Continuous ratings: widened; their 0 is the scale's 0.
    """
    rated = np.array([(song.arousal, song.valence) for song in songs])
    kinds = np.array([song.kind for song in songs])
    answer = rated * recipe.rating_gain
    for kind in ("quadrant", "emotions"):
        chosen = np.flatnonzero(kinds == kind)
        if not chosen.size:
            continue
        values = rated[chosen]
        rows = [songs[int(i)].row for i in chosen]
        if all("tag_arousal" in row for row in rows):
            norms = np.array([(float(row["tag_arousal"]), float(row["tag_valence"])) for row in rows])
            values = (values + standardise(norms, FLOOR)) / 2
        answer[chosen] = recipe.spread * standardise(values, FLOOR)
    return answer


def fit_sentiment_model(songs: Sequence[FeaturedSong], dense: Mapping[str, F32], recipe: Recipe) -> SentimentModel:
    """Fits a model on some songs; dense are the network's layers that it carries along."""
    every_fourth = np.concatenate([song.raw[::4] for song in songs])
    mean, spread = every_fourth.mean(axis=0), every_fourth.std(axis=0) + 1e-3
    plain = [np.clip((song.raw - mean) / spread, -FEATURE_LIMIT, FEATURE_LIMIT) for song in songs]
    kinds = _feature_kinds(songs[0], dense)
    level = _fit_level(songs, plain, _penalties(recipe.level_ridge, kinds), recipe)
    moves = _fit_moves(songs, plain, _penalties(recipe.moves_ridge, [*kinds, "time"]), recipe)
    return _build_model(dense, mean, spread, **level, moves=moves, doubt=np.array(DOUBT))


def _feature_kinds(song: FeaturedSong, dense: Mapping[str, F32]) -> list[str]:
    """The kind of each feature, in the order of `SentimentModel.raw_features`."""
    window = song.song.windows[0]
    sizes = {"hidden": dense["hidden_bias"].size, "pools": window.embedding.size, "patch": window.patch.size}
    sizes |= {"harmony": window.harmony.size, "timbre": window.timbre.size}
    return [kind for kind, size in sizes.items() for _ in range(size)]


def _penalties(ridges: Ridges, kinds: Sequence[str]) -> F64:
    chosen = dict(ridges)
    return np.array([chosen.get(kind, np.inf) for kind in kinds])


def _build_model(dense: Mapping[str, F32], mean: F32, spread: F32, **fitted: F64) -> SentimentModel:
    arrays = {name: np.asarray(fitted.get(name, 0.0), np.float32) for name in FITTED}
    return SentimentModel.from_arrays({**dense, "mean": mean, "spread": spread, **arrays})


def _fit_level(songs: Sequence[FeaturedSong], plain: Sequence[F32], penalties: F64, recipe: Recipe) -> dict[str, F64]:
    """The level's part of a model, from songs' averages to their targets; kinds without a ridge are left out."""
    chosen_weights = dict(recipe.collection_weights)
    weights = np.array([chosen_weights.get(song.song.collection, 1.0) for song in songs])
    averages, wanted = np.stack(list(map(_average, songs, plain))), np.stack([song.target for song in songs])
    used = np.flatnonzero(np.isfinite(penalties))
    inside = np.zeros((used.size, used.size), np.float32)
    for z in plain:
        part = z[::INSIDE_STEP, used]
        part = part - part.mean(axis=0)
        inside += part.T @ part / np.float32(len(part) * len(plain))
    found = fit_level(
        averages[:, used],
        wanted,
        weights,
        np.diag(penalties[used]) + inside / recipe.stretch_windows,
        share=recipe.kernel_share,
        width=recipe.kernel_width,
        dimensions=recipe.kernel_dimensions,
    )
    for name in ("level", "view"):
        whole = np.zeros((penalties.size, found[name].shape[1]))
        whole[used] = found[name]
        found[name] = whole
    return found


def _average(song: FeaturedSong, z: F32) -> F64:
    """A song's features as the service averages them: silent windows left out."""
    weights = np.array([measure_audibility(window) for window in song.song.windows])
    return np.asarray(weights @ z / max(float(weights.sum()), 1e-6))


def _fit_moves(songs: Sequence[FeaturedSong], plain: Sequence[F32], penalties: F64, recipe: Recipe) -> F64:
    """Ridge from smoothed features to the rating's course inside pieces, (features, 2).

    Every piece counts alike, however much its ratings move. A further feature is time, as raters take half a minute to
    settle into a piece: it keeps that out of the others, and is left out of what is read, for listeners do not.
    """
    used = np.flatnonzero(np.isfinite(penalties))
    square, product = np.zeros((used.size, used.size)), np.zeros((used.size, 2))
    pieces, size = 0, np.zeros(2)
    for song, z in zip(songs, plain, strict=True):
        curve = song.song.rating.curve
        if curve is None or len(curve) < MIN_MEASURES:
            continue
        x = _course(z[:, used[:-1]], len(curve), song.song.rating.duration_s)
        x, y = x - x.mean(axis=0), curve - curve.mean(axis=0)
        square += x.T @ x / len(x)
        product += x.T @ (y / (y.std(axis=0) + 0.02)) / len(x)
        pieces, size = pieces + 1, size + y.std(axis=0)
    moves = np.zeros((penalties.size, 2))
    if pieces:
        gain = recipe.moves_gain * recipe.rating_gain * size / pieces
        moves[used] = gain * np.linalg.solve(square + np.diag(penalties[used]), product)
    return moves[:-1]


def _course(z: F32, measures: int, duration_s: float) -> F64:
    """Features in the middle of each measure, (measures, features + 1): smoothed ones, and how far raters settled."""
    pacing = Pacing()
    keep, total, weight = np.exp(-WINDOW_S / pacing.smoothing_s), np.zeros(z.shape[1]), 0.0
    smooth = np.empty(z.shape)
    for k, row in enumerate(z):
        total, weight = total * keep + row, weight * keep + 1.0
        smooth[k] = total / weight
    known_s = (np.arange(len(z)) + 1) * WINDOW_S
    middles_s = (np.arange(measures) + 0.5) * (duration_s or known_s[-1]) / measures
    columns = [np.interp(middles_s, known_s, column) for column in smooth.T]
    return np.stack([*columns, TIME_WEIGHT * ramp(middles_s, SETTLING_S)], axis=1)


def fit_level(
    averages: F64, wanted: F64, weights: F64, penalty: F64, *, share: float, width: float, dimensions: int
) -> dict[str, F64]:
    """Fits a model's level: a line over what a song is like on average, and the ratings of the songs near it.

    Gaussian-process regression with two kernels, of unit noise. The linear one is a ridge; the other falls with the
    distance between two songs, in the ridge's own measure: what the ridge trusts little counts little for it, too.

    Args:
        averages: (songs, features), of each song's windows.
        wanted: (songs, 2), targets.
        weights: (songs,), how much each counts.
        penalty: (features, features), the ridge.
        share: variance of the kernel of distances; 0 leaves the line alone.
        width: of that kernel, in medians of the distance between two songs.
        dimensions: in which distances are taken, the principal ones.

    Returns:
        level, level_bias, view, centres, centre_weights and neutral of `sentiment.SentimentModel`.
    """
    total = weights.sum()
    centre, middle = (weights @ values / total for values in (averages, wanted))
    measure = np.linalg.inv(np.linalg.cholesky(penalty)).T
    songs = (averages - centre) @ measure
    axes = _principal(songs, dimensions)
    distances = pairwise_distances(songs @ axes, songs @ axes)
    reach = np.sqrt(2.0 * max(float(np.median(distances)), 1e-9)) * width
    kernel = songs @ songs.T / total + share * np.exp(-distances / reach**2)
    root = np.sqrt(weights)[:, None]
    found = root * np.linalg.solve(root * kernel * root.T + np.eye(len(songs)), root * (wanted - middle))
    level = measure @ (songs.T @ found) / total
    view = measure @ axes / reach
    return {
        "level": level,
        "level_bias": middle - centre @ level,
        "view": view,
        "centres": averages @ view,
        "centre_weights": share * found,
        "neutral": middle,
    }


def pairwise_distances(ones: F64, others: F64) -> F64:
    """(ones, others), of rows."""
    squares = (ones**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2.0 * ones @ others.T
    return np.asarray(np.maximum(squares, 0.0))


def _principal(rows: F64, count: int) -> F64:
    """Principal axes of rows that are centred, (features, at most count)."""
    _, _, axes = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(axes[:count].T)
