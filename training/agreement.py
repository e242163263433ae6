"""How well readings follow ratings: correlation, concordance, error and sign accuracy, with bootstrap intervals.

The formulas themselves are the composer's (services/composer/story/agreement.py): what is trained and measured here is
judged by the same rule as every story.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from services.composer.story.agreement import Agreement

__all__ = [
    "DIMENSIONS",
    "Agreement",
    "bootstrap_intervals",
    "bootstrap_rows",
    "compute_agreement",
    "compute_interval",
    "compute_measures",
    "measure_dimensions",
    "measure_with_intervals",
    "pearson_r",
    "pearson_rs",
]

F64 = NDArray[np.float64]
Groups = NDArray[np.generic]

DIMENSIONS = ("arousal", "valence")
DRAWS = 1000  # samples of the bootstrap
EDGES = (0.025, 0.975)  # quantiles of a 95 % interval


def compute_agreement(wanted: F64, given: F64) -> Agreement:
    """Pearson's r, Lin's concordance and the root mean square error of two series (n,), n at least 1."""
    x, y = wanted.astype(np.float64), given.astype(np.float64)
    means, variances = (float(x.mean()), float(y.mean())), (float(x.var()), float(y.var()))
    covariance = float(((x - means[0]) * (y - means[1])).mean())
    return Agreement.from_moments(means, variances, covariance, float(np.square(x - y).mean()), len(x))


def pearson_r(wanted: F64, given: F64) -> float:
    """Pearson's r of two series (n,); 0 where one of them does not vary."""
    return compute_agreement(wanted, given).r


def pearson_rs(wanted: F64, given: F64) -> dict[str, float]:
    """Pearson's r of arousal and of valence, of two series (n, 2)."""
    return {name: pearson_r(wanted[:, place], given[:, place]) for place, name in enumerate(DIMENSIONS)}


def compute_measures(wanted: F64, given: F64, *, zero_is_positive: bool = True) -> dict[str, float]:
    """All measures of one dimension.

    Args:
        wanted: (n,), what people rated or what was asked for; 0 is neutral.
        given: (n,), what was read or made.
        zero_is_positive: how a value of exactly 0 counts for the accuracy.

    Returns:
        `r`, `ccc`, `rmse`, and `accuracy`, the share of pairs with the same sign.
    """
    found = compute_agreement(wanted, given)
    x, y = (wanted >= 0, given >= 0) if zero_is_positive else (wanted > 0, given > 0)
    return {"r": found.r, "ccc": found.ccc, "rmse": found.rmse, "accuracy": float((x == y).mean())}


def measure_dimensions(wanted: F64, given: F64) -> dict[str, dict[str, float]]:
    """The measures of arousal and valence, by dimension, of two series (n, 2); a value of 0 counts as negative."""
    return {
        name: compute_measures(wanted[:, place], given[:, place], zero_is_positive=False)
        for place, name in enumerate(DIMENSIONS)
    }


def measure_with_intervals(wanted: F64, given: F64, groups: Groups) -> dict[str, dict[str, object]]:
    """What `measure_dimensions` says, and in `r_95` the 95 % interval of r.

    Args:
        wanted: (n, 2).
        given: (n, 2).
        groups: (n,), the theme or song of each row; see `bootstrap_rows`.
    """
    bounds = bootstrap_intervals(pearson_rs, wanted, given, groups=groups)
    return {name: {**found, "r_95": bounds[name]} for name, found in measure_dimensions(wanted, given).items()}


def bootstrap_intervals(
    measure: Callable[..., Mapping[str, float]], *series: F64, groups: Groups | None = None
) -> dict[str, list[float]]:
    """95 % bootstrap interval, low and high, of each number that a measure gives.

    Args:
        measure: takes the series, resampled along their first axis.
        series: equally long.
        groups: of the rows; None draws row by row. See `bootstrap_rows`.
    """
    rows = bootstrap_rows(np.arange(len(series[0])) if groups is None else groups)
    found = [measure(*(values[drawn] for values in series)) for drawn in rows]
    return {name: compute_interval([row[name] for row in found]) for name in found[0]}


def bootstrap_rows(groups: Groups, seed: int = 0) -> Iterator[NDArray[np.intp]]:
    """Rows of each of DRAWS bootstrap samples.

    Args:
        groups: (n,), the group of each row. Whole groups are drawn, because the errors inside a group are alike.
        seed: of the draws.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    rows, alone = np.concatenate(members), len(members) == len(groups)
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        picks = rng.integers(len(members), size=len(members))
        yield rows[picks] if alone else np.concatenate([members[pick] for pick in picks])


def compute_interval(values: Sequence[float] | F64) -> list[float]:
    """The 95 % interval, low and high, of the values that the bootstrap gave."""
    return [float(edge) for edge in np.quantile(values, EDGES)]
