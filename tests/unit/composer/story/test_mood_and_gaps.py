"""The shift of a mood, and the feelings that a choice of concepts has nothing for."""

import json
from dataclasses import replace

import numpy as np
import pytest

from services.composer.story.gaps import find_gaps
from services.composer.story.mood import Mood
from services.composer.story.timeline import Point
from tests.architecture.tree import ROOT

TABLE = json.loads((ROOT / "services/translator/weights/canvas_concepts.json").read_text(encoding="utf-8"))["concepts"]
RATED = np.array([(one["arousal"], one["valence"]) for one in TABLE])
POINT = Point(1.5, 0.25, -0.9, loudness=0.5, onset=0.1, passage=2)


def find_missing(theme: str) -> list[str]:
    allowed = [number for number, one in enumerate(TABLE) if theme in one["themes"]]
    return [feeling.split()[0] for feeling, _ in find_gaps(RATED, allowed)]


def test_a_mood_shifts_targets_and_cuts_them_to_the_plane() -> None:
    mood = Mood(0.25, -0.5)
    assert mood.shift(0.25, 0.125) == (0.5, -0.375)
    assert mood.shift(0.9, -0.9) == (1.0, -1.0)
    assert mood.shift_point(POINT) == replace(POINT, arousal=0.5, valence=-1.0)


def test_no_mood_leaves_everything_as_it_is() -> None:
    assert not Mood()
    assert Mood().shift(0.1, 1.5) == (0.1, 1.5)
    assert Mood().shift_point(POINT) is POINT
    assert Mood(valence=-0.1)


@pytest.mark.parametrize(
    ("theme", "missing"),
    [
        ("sea", []),
        ("paintings", []),
        ("flowers", ["sad", "tense"]),
        ("city", ["tense", "joyful"]),
        ("storm", ["sad", "peaceful"]),
    ],
)
def test_feelings_of_which_a_theme_has_nothing_are_named(theme: str, missing: list[str]) -> None:
    assert find_missing(theme) == missing


def test_the_nearest_that_may_be_shown_is_named_and_what_the_engine_lacks_is_no_gap() -> None:
    line = np.array([(-0.6, 0.6), (-0.3, 0.3), (0.0, 0.0), (0.3, -0.3), (0.6, -0.6)])  # nothing sad, nothing joyful
    assert find_gaps(line, range(5)) == []
    assert find_gaps(line, [0, 1, 2]) == [("tense (excited and unpleasant)", 2)]


def test_concepts_that_are_all_rated_alike_have_no_gaps() -> None:
    assert find_gaps(np.full((4, 2), 0.3), [1, 2, 3]) == []
