"""What painting styles do to the sentiment of pictures: the same pictures read with and without each style.

The styles are the built-in ones or those of a folder of pictures, painted by the generator's code.
"""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepsing.runtime.onnx import open_session
from services.generator.concepts import Concept
from services.generator.style_pictures import StylePicture, style_vectors
from services.generator.stylize import Stylist
from services.translator.lexicon import F32, F64, Lexicon
from training.agreement import DIMENSIONS, bootstrap_intervals, pearson_rs

__all__ = [
    "StyleReadings",
    "feeling_correlation",
    "style_sentiments",
    "nearest_styles",
    "build_report",
    "StyleSet",
    "find_style_files",
    "open_built_in_styles",
    "open_style_pictures",
]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

Pictures = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class StyleReadings:
    """One reader's view of N pictures without and with each of S styles."""

    plain: F64  # (N, 2), arousal and valence
    styled: F64  # (S, N, 2)

    @classmethod
    def from_features(cls, read: Callable[[F32], F64], plain: F32, styled: Sequence[F32]) -> "StyleReadings":
        """Reads features: of the plain pictures (N, D), and for each style of the styled ones (N, D)."""
        return cls(read(plain), np.stack([read(features) for features in styled]))

    def select(self, styles: NDArray[np.int64]) -> F64:
        """The readings of every picture in a style of its own: (N,) → (N, 2)."""
        return np.asarray(self.styled[styles, np.arange(len(styles))])


def feeling_correlation(plain: F64, styled: F64) -> float:
    """How much of what is felt at pictures a style leaves: r of readings (N, 2) and (N, 2), mean of both dimensions."""
    return float(np.mean(list(pearson_rs(plain, styled).values())))


def style_sentiments(readings: StyleReadings, ratings: F64) -> F64:
    """The sentiment of each style, on the scale of people's ratings: (S, 2) in [-1, 1].

    The typical style stands in the middle of the ratings, because all styles take some pleasantness away and the
    difference between them is what can follow a feeling. From there a style lies as many standard deviations of the
    ratings away as its mean reading does in those of the unstyled readings: readings lie nearer to the
    middle than ratings.
    """
    means = readings.styled.mean(axis=1)
    unusual = (means - means.mean(axis=0)) / readings.plain.std(axis=0)
    return np.asarray((ratings.mean(axis=0) + ratings.std(axis=0) * unusual).clip(-1, 1))


def build_report(
    judged: StyleReadings, taught: StyleReadings, lexicon: Lexicon, shares: tuple[float, ...]
) -> dict[str, Any]:
    """What styles do, by the judge, and what the table makes of it.

    Args:
        judged: the judge's readings.
        taught: the labeller's.
        lexicon: the pictures' concepts, rated by people.
        shares: of the styles.

    Returns:
        For every style its sentiment, mean shift and r with people, the labeller's shift; r with people's ratings of
        the concept without style, with the style that a story would take, and with one drawn at random, each with
        95 % bootstrap intervals over themes.
    """
    ratings, themes = lexicon.ratings.astype(np.float64), np.array(lexicon.themes)
    table = style_sentiments(taught, ratings)
    auto = nearest_styles(ratings, table)
    random = np.random.default_rng(0).integers(len(table), size=len(ratings))
    styles = [
        {
            "sentiment": dict(zip(DIMENSIONS, table[style].round(2).tolist(), strict=True)),
            "share": shares[style],
            "kept": feeling_correlation(judged.plain, judged.styled[style]),
            "shift": mean_shifts(judged.styled[style] - judged.plain, themes),
            "labeller_shift": (taught.styled[style] - taught.plain).mean(0).tolist(),
            "r": correlations(ratings, judged.styled[style], themes),
            "taken": int((auto == style).sum()),
        }
        for style in range(len(table))
    ]
    sets = {"none": judged.plain, "auto": judged.select(auto), "random": judged.select(random)}
    chosen = {name: correlations(ratings, readings, themes) for name, readings in sets.items()}
    sides = ratings, sets["auto"], sets["none"]
    gains, bounds = correlation_gains(*sides), bootstrap_intervals(correlation_gains, *sides, groups=themes)
    chosen["auto_less_none"] = {name: {"r": gains[name], "r_95": bounds[name]} for name in DIMENSIONS}
    return {"n": len(ratings), "styles": styles, "chosen": chosen}


def nearest_styles(feelings: F64, sentiments: F64) -> NDArray[np.int64]:
    """The style that a story takes for each feeling when it has none yet: (N, 2), (S, 2) → (N,)."""
    return np.asarray(np.square(feelings[:, None] - sentiments[None]).sum(-1).argmin(1))


def mean_shifts(shifts: F64, themes: NDArray[np.str_]) -> dict[str, dict[str, Any]]:
    """Mean of shifts (N, 2) with its interval."""
    bounds = bootstrap_intervals(_means, shifts, groups=themes)
    return {name: {"mean": mean, "mean_95": bounds[name]} for name, mean in _means(shifts).items()}


def _means(shifts: F64) -> dict[str, float]:
    return {name: float(shifts[:, place].mean()) for place, name in enumerate(DIMENSIONS)}


def correlations(ratings: F64, readings: F64, themes: NDArray[np.str_]) -> dict[str, dict[str, Any]]:
    """Pearson's r of readings with ratings, both (N, 2), with its interval."""
    bounds = bootstrap_intervals(pearson_rs, ratings, readings, groups=themes)
    return {name: {"r": r, "r_95": bounds[name]} for name, r in pearson_rs(ratings, readings).items()}


def correlation_gains(ratings: F64, after: F64, before: F64) -> dict[str, float]:
    """How much better readings follow ratings after than before, as a difference of r, for each dimension."""
    later, earlier = pearson_rs(ratings, after), pearson_rs(ratings, before)
    return {name: later[name] - earlier[name] for name in DIMENSIONS}


@dataclass(frozen=True)
class StyleSet:
    """Styles and the network that paints them.

    Attributes:
        stylist: the generator's.
        shares: (S,), how strongly the network shows a style whose weight is 1.
        files: the picture of each style by its name; empty for built-in styles.
    """

    stylist: Stylist
    shares: F32
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the styles."""
        return tuple(style.name for style in self.stylist.styles)

    def stylize(self, pictures: Pictures, style: int, strength: float) -> Pictures:
        """Restyles pictures; `strength` in [0, 1] is the network's own, whatever the style's share."""
        weights = np.zeros(len(self.shares), np.float32)
        weights[style] = strength / self.shares[style]
        return [self.stylist.stylize(picture, weights) for picture in pictures]


def open_built_in_styles(network: Path) -> StyleSet:
    """The styles of a network that training.generator.styles.rebuild wrote, whose metadata holds their shares."""
    session = open_session(network, threads=1)
    shares = json.loads(session.get_modelmeta().custom_metadata_map["shares"])
    return StyleSet(Stylist("", session), np.array(shares, np.float32))


def open_style_pictures(network: Path, folder: Path) -> StyleSet:
    """The styles of a folder of pictures, rated or not.

    Args:
        network: any_style.onnx; style_vector.onnx is beside it.
        folder: see `find_style_files`.

    Raises:
        ValueError: a file is not a picture.
    """
    files = find_style_files(folder)
    predictor, session = (open_session(path, threads=1) for path in (network.with_name("style_vector.onnx"), network))
    styles = [Concept(name, 0.0, 0.0) for name in files]  # their sentiments are what is to be measured
    vectors = style_vectors([StylePicture(*one) for one in zip(styles, files.values(), strict=True)], predictor)
    return StyleSet(Stylist("", session, styles, vectors), np.ones(len(files), np.float32), files)


def find_style_files(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by their styles' names.

    They are those that its styles.csv lists (columns file, name); without it all pictures, named after their files.
    """
    table = folder / "styles.csv"
    if table.exists():
        with table.open(newline="", encoding="utf-8-sig") as lines:
            return {row["name"]: folder / row["file"] for row in csv.DictReader(lines)}
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES}
