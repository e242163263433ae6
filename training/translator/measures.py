"""How well sentiments that were achieved or read follow those that were wanted or rated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from services.translator.lexicon import F64

__all__ = ["Agreement", "agreement", "intervals", "bootstrap_rows"]

Agreement = dict[str, dict[str, float]]  # dimension → measure → value
DRAWS = 1000  # of the bootstrap


def agreement(target: F64, achieved: F64) -> Agreement:
    """How well (n, 2) values follow (n, 2) targets.

    Pearson r, concordance (CCC), root mean square error, and the share of rows whose signs agree.
    r and CCC are 0 where either side is constant: nothing follows.
    """
    measures = {}
    for column, name in enumerate(("arousal", "valence")):
        x, y = target[:, column].astype(np.float64), achieved[:, column].astype(np.float64)
        shared = float(np.mean((x - x.mean()) * (y - y.mean())))
        spread = float(x.std() * y.std())
        measures[name] = {
            "r": shared / spread if spread > 0 else 0.0,
            "ccc": 2 * shared / float(x.var() + y.var() + (x.mean() - y.mean()) ** 2) if spread > 0 else 0.0,
            "rmse": float(np.sqrt(np.mean((x - y) ** 2))),
            "accuracy": float(np.mean((x > 0) == (y > 0))),
        }
    return measures


def bootstrap_rows(groups: NDArray[np.str_], seed: int = 0) -> Iterator[NDArray[np.intp]]:
    """Rows of DRAWS bootstrap samples; whole groups (n,) are drawn, because what belongs together errs together."""
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    rng = np.random.default_rng(seed)
    for _ in range(DRAWS):
        yield np.concatenate([members[pick] for pick in rng.integers(len(members), size=len(members))])


def intervals(rated: F64, read: F64, groups: NDArray[np.str_], seed: int = 0) -> dict[str, object]:
    """Agreement with 95 % bootstrap intervals of r.

    Whole groups are drawn (themes, songs), because what belongs together errs together.

    Args:
        rated: (n, 2).
        read: (n, 2).
        groups: (n,), name of each row's group.
        seed: of the draws.
    """
    drawn: dict[str, list[float]] = {"arousal": [], "valence": []}
    for rows in bootstrap_rows(groups, seed):
        for dimension, measures in agreement(rated[rows], read[rows]).items():
            drawn[dimension].append(measures["r"])
    return {
        dimension: measures | {"r_95": [float(q) for q in np.quantile(drawn[dimension], (0.025, 0.975))]}
        for dimension, measures in agreement(rated, read).items()
    }
