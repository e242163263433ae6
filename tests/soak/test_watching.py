import os
from pathlib import Path

import numpy as np
import pytest

from tests.soak.watching import ALLOWED, Census, cpu_s, fit_verdict

TIMES_S = list(np.arange(0, 1800, 3.0))
NOISE = np.random.default_rng(1).normal(0, 4, len(TIMES_S))


@pytest.mark.parametrize(("mib_an_hour", "flat"), [(0.0, True), (8.0, True), (40.0, False), (400.0, False)])
def test_a_leak_is_seen_through_noise_and_a_flat_process_is_not_blamed(mib_an_hour: float, flat: bool) -> None:
    values = 150 + NOISE + mib_an_hour * np.array(TIMES_S) / 3600
    assert fit_verdict("composer", "rss_mib", TIMES_S, list(values)).flat is flat


def test_warming_up_is_no_leak() -> None:
    values = [100 + min(time_s, 400) / 4 for time_s in TIMES_S]
    verdict = fit_verdict("composer", "rss_mib", TIMES_S, values)
    assert verdict.flat
    assert verdict.highest == 200


def test_a_sample_has_what_this_process_holds(tmp_path: Path) -> None:
    census = Census({"me": os.getpid()}, tmp_path)
    census.sample(0.0)
    with (tmp_path / "left").open("wb"):
        census.sample(1.0)
    assert census.series("me", "files")[1] == census.series("me", "files")[0] + 1
    assert census.temporary_count == [0, 1]
    assert min(census.series("me", what)[0] for what in ALLOWED) >= 1
    assert cpu_s([os.getpid()]) > 0


def test_only_what_a_session_leaves_counts_as_left(tmp_path: Path) -> None:
    own = tmp_path / "deepsing-composer-x"
    for folder in (own / "session-1", tmp_path / "tmp1"):
        folder.mkdir(parents=True)
    (own / "held-1").touch()
    assert Census({}, tmp_path).list_leftovers() == ["deepsing-composer-x/session-1", "tmp1"]
