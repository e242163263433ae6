import numpy as np
import pytest
from numpy.typing import NDArray

from services.audio_sentiment.feature_extractor import Window
from services.audio_sentiment.passages import (
    CANDIDATES,
    HISTORY,
    SHORTEST,
    PassageFinder,
    PassageModel,
    Sections,
    describe_sound,
)

F64 = NDArray[np.float64]
DIMENSIONS = 4
RNG = np.random.default_rng(3)


def model() -> PassageModel:
    """Coordinates are the sound's features; centres of passages have a standard deviation of 3."""
    ones = np.ones(DIMENSIONS, np.float32)
    return PassageModel(0 * ones, ones, np.eye(DIMENSIONS, dtype=np.float32), 0 * ones, 9 * ones)


def passage(centre: float, count: int, seed: int = 0) -> F64:
    return np.random.default_rng(seed).normal(0, 1, (count, DIMENSIONS)) + centre


def find(*passages: F64) -> PassageFinder:
    finder = PassageFinder(model())
    for row in np.concatenate(passages):
        finder.add(row)
    return finder


def test_a_change_is_found_where_it_is() -> None:
    finder = find(passage(2, 40), passage(-2, 30, 1), passage(1, 50, 2))
    assert finder.starts() == pytest.approx([0, 40, 70], abs=1)


def test_one_passage_has_no_change() -> None:
    assert find(passage(1, 200)).starts() == [0]


def test_a_change_is_noticed_within_seconds() -> None:
    finder = find(passage(2, 60))
    noticed = 0
    for row in passage(-2, 20, 1):
        finder.add(row)
        noticed += 1
        if finder.starts()[-1] >= 59:
            break
    assert SHORTEST - 1 <= noticed <= 8


def test_a_short_disturbance_is_no_passage() -> None:
    assert find(passage(2, 40), passage(-2, SHORTEST - 2, 1), passage(2, 40, 2)).starts() == [0]


def test_a_change_is_the_stronger_the_more_the_music_differs() -> None:
    small, large = (find(passage(0.8, 40), passage(-centre, 40, 1)) for centre in (0.8, 2.5))
    (weak,), (strong,) = (finder.strengths(finder.starts()) for finder in (small, large))
    assert 0 < weak < 0.5 * strong


def test_what_is_kept_does_not_grow_with_the_song() -> None:
    finder = find(*(passage(2 * (-1) ** k, 500, k) for k in range(8)))
    assert len(finder._totals) <= HISTORY
    assert len(finder._back) <= HISTORY
    assert len(finder._starts) <= CANDIDATES + 1
    assert finder.starts() == pytest.approx([3500], abs=1)


def test_a_passage_longer_than_what_is_kept_stays_one() -> None:
    assert find(passage(1, HISTORY * 3)).starts() == [0]


def test_music_that_comes_back_has_its_section_again() -> None:
    sections = Sections(model())
    stretches = [(30.0, passage(centre, 30, seed).sum(axis=0)) for seed, centre in enumerate((2, -2, 2, 0, -2))]
    assert [sections.classify(stretch) for stretch in stretches] == [0, 1, 0, 2, 1]


def test_a_sound_is_described_by_the_block_that_comes_later() -> None:
    def window(value: float) -> Window:
        parts = [np.full(shape, value, np.float32) for shape in ((2, 3), 4, 5, 6, (2, 3), 7)]
        return Window(*parts, value, value)

    sound = describe_sound(window(0.25), window(0.5))
    assert sound.tolist() == [0.5] * 6 + [0.25] * (6 + 7 + 1) + [0.5] * 5
