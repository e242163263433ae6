import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audio_sentiment.running_mean import RunningMean, ramp


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0, 1)), min_size=1, max_size=30),
    st.floats(0.5, 1),
    st.integers(0, 8),
)
def test_a_forgetting_mean_is_the_weighted_mean_of_what_is_in_reach(
    steps: list[tuple[float, float]], keep: float, limit: int
) -> None:
    mean = RunningMean(keep, limit)
    for value, weight in steps:
        mean.add(np.array([value]), weight)
    reach = steps[-limit:] if limit else steps
    weights = np.array([weight * keep**age for age, (_, weight) in enumerate(reversed(reach))])
    found = mean.mean()
    if weights.sum() > 1e-3:
        assert found is not None
        values = np.array([value for value, _ in reversed(reach)])
        assert found[0] == pytest.approx((values @ weights) / weights.sum(), abs=1e-6)


def test_a_ramp_starts_at_nothing_and_ends_at_all() -> None:
    np.testing.assert_allclose(ramp(np.array([0.0, 3.0, 3e3]), 3.0), [0.0, 1 - np.exp(-1), 1.0])
