"""Names of concepts and themes become numbers of concepts, or a refusal that says which names there are."""

from dataclasses import replace

import pytest

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import generator_pb2 as gen
from deepsing.v1 import sentiment_pb2
from services.composer.pipeline.selection import Selection, select_concepts
from services.composer.session.config import parse_config

NAMES = ("grey wave", "harbour at night", "Autumn Lake", "burning barn", "fog", "storm")
THEMES = (("sea",), ("sea", "night"), ("water",), ("fire",), (), ("sea",))
PLAN = parse_config(pb.StoryConfig())


def list_concepts(*themes: tuple[str, ...]) -> list[gen.Concept]:
    """Concepts on a circle of the plane, so that each quadrant has one or two."""
    places = ((-0.5, -0.5), (-0.5, 0.5), (-0.4, 0.6), (0.5, -0.5), (-0.5, -0.4), (0.5, 0.5))
    return [
        gen.Concept(name=name, sentiment=sentiment_pb2.Sentiment(arousal=arousal, valence=valence), themes=found)
        for name, (arousal, valence), found in zip(NAMES, places, themes, strict=True)
    ]


CONCEPTS = list_concepts(*THEMES)


def select(**names: tuple[str, ...]) -> Selection:
    return select_concepts(replace(PLAN, **names), "canvas", CONCEPTS)  # type: ignore[arg-type]


def refuse(concepts: list[gen.Concept] = CONCEPTS, **names: tuple[str, ...]) -> tuple[str, str, str]:
    """Reason, field and message of a refusal."""
    with pytest.raises(InvalidArgument) as caught:
        select_concepts(replace(PLAN, **names), "canvas", concepts)  # type: ignore[arg-type]
    error = caught.value
    return error.reason_name, error.field, str(error)


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        ({}, ()),
        ({"themes": ("sea",)}, (0, 1, 5)),
        ({"themes": ("SEA", "Fire")}, (0, 1, 3, 5)),
        ({"themes": ("sea",), "only": ("autumn lake",)}, (0, 1, 2, 5)),
        ({"only": ("fog", "night", "water")}, (1, 2, 4)),
        ({"without": ("sea",)}, (2, 3, 4)),
        ({"without": ("STORM", "fog")}, (0, 1, 2, 3)),
        ({"themes": ("sea", "water", "fire"), "without": ("night",)}, (0, 2, 3, 5)),
        ({"only": NAMES}, ()),
    ],
)
def test_what_may_be_shown_is_the_union_of_what_is_named_less_what_is_not_wanted(
    names: dict[str, tuple[str, ...]], allowed: tuple[int, ...]
) -> None:
    assert select(**names).allowed == allowed


def test_a_name_of_a_concept_and_of_a_theme_stands_for_both() -> None:
    assert select(only=("storm", "fire", "water")).allowed == (2, 3, 5)
    twice = list_concepts(("storm",), *THEMES[1:])
    chosen = select_concepts(replace(PLAN, only=("storm", "fire", "water")), "canvas", twice)
    assert chosen.allowed == (0, 2, 3, 5)


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (
            {"themes": ("see",)},
            ("THEME_UNKNOWN", "themes", "theme is 'see'; the nearest: sea; choose one of: fire, night, sea, water"),
        ),
        (
            {"themes": ("dinosaurs",)},
            ("THEME_UNKNOWN", "themes", "theme is 'dinosaurs'; choose one of: fire, night, sea, water"),
        ),
        (
            {"only": ("autum lake",)},
            (
                "CONCEPT_NAME_UNKNOWN",
                "only",
                "only is 'autum lake', which is no concept or theme of canvas; the nearest: autumn lake; "
                "choose what ListConcepts names",
            ),
        ),
        (
            {"without": ("",)},
            (
                "CONCEPT_NAME_UNKNOWN",
                "without",
                "without is '', which is no concept or theme of canvas; choose what ListConcepts names",
            ),
        ),
        (
            {"only": ("fog", "storm")},
            ("CONCEPTS_TOO_FEW", "only", "2 concepts are left of those that may be shown; leave at least 3"),
        ),
        (
            {"themes": ("sea",), "without": ("night", "storm")},
            ("CONCEPTS_TOO_FEW", "only", "1 concept is left of those that may be shown; leave at least 3"),
        ),
        (
            {"themes": ("sea",), "without": ("sea",)},
            ("CONCEPTS_TOO_FEW", "only", "no concepts are left of those that may be shown; leave at least 3"),
        ),
    ],
)
def test_a_name_that_the_engine_lacks_or_a_choice_of_too_few_is_refused(
    names: dict[str, tuple[str, ...]], answer: tuple[str, str, str]
) -> None:
    assert refuse(**names) == answer


def test_an_engine_without_themes_says_so() -> None:
    bare = list_concepts(*[()] * len(NAMES))
    assert refuse(bare, themes=("sea",))[2] == "theme is 'sea'; canvas has none, name concepts"


def test_a_feeling_that_nothing_is_left_for_is_a_warning_that_names_what_is_shown() -> None:
    chosen = select(without=("burning barn",))
    assert chosen.allowed == (0, 1, 2, 4, 5)
    assert chosen.warnings == (
        "nothing of what may be shown feels tense (excited and unpleasant); the nearest, 'grey wave' "
        "(arousal -0.50, valence -0.50), is shown instead",
    )
    assert select(without=("fog",)).warnings == ()
