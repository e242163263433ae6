"""What painting styles do to the feeling of pictures, as numbers with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.translator.lexicon import F64, Lexicon
from training.translator.measures import bootstrap_rows
from training.translator.styles.readings import StyleReadings, feeling_correlation, style_sentiments

__all__ = ["nearest_styles", "build_report"]


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
    ratings, draws = lexicon.ratings.astype(np.float64), list(bootstrap_rows(np.array(lexicon.themes)))
    table = style_sentiments(taught, ratings)
    auto = nearest_styles(ratings, table)
    random = np.random.default_rng(0).integers(len(table), size=len(ratings))
    styles = [
        {
            "sentiment": dict(zip(("arousal", "valence"), table[style].round(2).tolist(), strict=True)),
            "share": shares[style],
            "kept": feeling_correlation(judged.plain, judged.styled[style]),
            "shift": mean_shifts(judged.styled[style] - judged.plain, draws),
            "labeller_shift": (taught.styled[style] - taught.plain).mean(0).tolist(),
            "r": correlations(ratings, judged.styled[style], draws),
            "taken": int((auto == style).sum()),
        }
        for style in range(len(table))
    ]
    sets = {"none": judged.plain, "auto": judged.select(auto), "random": judged.select(random)}
    chosen = {name: correlations(ratings, readings, draws) for name, readings in sets.items()}
    gains = np.array(
        [correlation_gain(ratings[rows], *(sets[name][rows] for name in ("auto", "none"))) for rows in draws]
    )
    chosen["auto_less_none"] = {
        name: {"r": value, "r_95": np.quantile(gains[:, place], (0.025, 0.975)).tolist()}
        for place, (name, value) in enumerate(
            zip(("arousal", "valence"), correlation_gain(ratings, sets["auto"], sets["none"]), strict=True)
        )
    }
    return {"n": len(ratings), "styles": styles, "chosen": chosen}


def nearest_styles(feelings: F64, sentiments: F64) -> NDArray[np.int64]:
    """The style that a story takes for each feeling when it has none yet: (N, 2), (S, 2) → (N,)."""
    return np.asarray(np.square(feelings[:, None] - sentiments[None]).sum(-1).argmin(1))


def mean_shifts(shifts: F64, draws: list[NDArray[np.intp]]) -> dict[str, dict[str, Any]]:
    """Mean of shifts (N, 2) with its interval."""
    means = np.array([shifts[rows].mean(0) for rows in draws])
    return {
        name: {"mean": float(shifts[:, place].mean()), "mean_95": np.quantile(means[:, place], (0.025, 0.975)).tolist()}
        for place, name in enumerate(("arousal", "valence"))
    }


def correlations(ratings: F64, readings: F64, draws: list[NDArray[np.intp]]) -> dict[str, dict[str, Any]]:
    """Pearson's r of readings with ratings, both (N, 2), with its interval."""
    made = {}
    for place, name in enumerate(("arousal", "valence")):
        values = [pearson_r(ratings[rows], readings[rows], place) for rows in draws]
        made[name] = {"r": pearson_r(ratings, readings, place), "r_95": np.quantile(values, (0.025, 0.975)).tolist()}
    return made


def correlation_gain(ratings: F64, after: F64, before: F64) -> list[float]:
    """How much better readings follow ratings after than before, as a difference of r, for each dimension."""
    return [pearson_r(ratings, after, place) - pearson_r(ratings, before, place) for place in (0, 1)]


def pearson_r(left: F64, right: F64, place: int) -> float:
    """Pearson's r of one dimension."""
    return float(np.corrcoef(left[:, place], right[:, place])[0, 1])
