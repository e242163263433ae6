"""Styles follow the sentiment, and last."""

from itertools import pairwise

import numpy as np
import pytest

from services.composer.story.styles import STYLE_HOLD_S, STYLE_STAY, StyleChooser, nearest_style

THREE = np.array([(0.0, 0.5), (0.0, 0.0), (0.0, -0.5)])  # positive, neutral, negative


def changes(chosen: list[int]) -> int:
    return sum(a != b for a, b in pairwise(chosen))


def test_a_style_is_kept_until_another_is_really_nearer() -> None:
    styles = np.array([(0.0, 0.5), (0.0, -0.5)])
    assert nearest_style(0.0, 0.4, styles, None) == 0
    assert nearest_style(0.0, -0.02, styles, 0) == 0
    assert nearest_style(0.0, -0.3, styles, 0) == 1


def test_a_feeling_that_trembles_about_a_border_keeps_its_style() -> None:
    chooser = StyleChooser(THREE)
    reach = 0.25 + np.array([-1, 1]) * STYLE_STAY * 0.4  # 0.25 lies in the middle between positive and neutral
    chosen = [chooser.choose(0.0, reach[step % 2], 10.0 * step) for step in range(40)]
    assert changes(chosen) == 0


def test_a_feeling_that_leaps_changes_the_style_no_more_often_than_it_may() -> None:
    chooser = StyleChooser(THREE)
    chosen = [chooser.choose(0.0, (0.6, -0.6)[step % 2], 0.5 * step) for step in range(240)]  # 120 s
    assert 2 <= changes(chosen) <= 120 / STYLE_HOLD_S


def test_a_feeling_that_sinks_for_good_takes_the_style_along() -> None:
    chooser = StyleChooser(THREE)
    path = np.linspace(0.6, -0.6, 121)
    chosen = [chooser.choose(0.0, float(valence), 1.0 * second) for second, valence in enumerate(path)]
    assert (chosen[0], chosen[60], chosen[-1]) == (0, 1, 2)
    assert changes(chosen) == 2


def test_the_first_style_is_the_nearest_at_once() -> None:
    assert [StyleChooser(THREE).choose(0.0, valence, 0.0) for valence in (0.7, 0.1, -0.4)] == [0, 1, 2]


def test_equal_sentiments_choose_equal_styles() -> None:
    sentiments = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    choices = [
        [chooser.choose(a, v, 2.5 * k) for k, (a, v) in enumerate(sentiments)]
        for chooser in map(StyleChooser, [THREE] * 2)
    ]
    assert choices[0] == choices[1]
    assert changes(choices[0]) == pytest.approx(15, abs=10)
