"""Concepts: what an engine can paint, each with its rated sentiment."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["RATERS", "Concept", "concepts_from_json", "concepts_to_json", "from_rating"]

RATING_NEUTRAL = 4.0  # middle of the 1..7 scale of OASIS
RATING_REACH = 3.0  # distance from the middle to either end
RATERS = ("people", "model")  # who may have given a sentiment


@dataclass(frozen=True)
class Concept:
    """A name that people understand and its sentiment, each value in [-1, 1], 0 the neutral of the scale.

    Attributes:
        themes: what it belongs to, for example "sea"; empty if nobody said.
        rated_by: who gave the sentiment: "people" or "model"; empty if nobody said.
    """

    name: str
    arousal: float
    valence: float
    themes: tuple[str, ...] = ()
    rated_by: str = ""


def from_rating(rating: float) -> float:
    """Moves a mean rating from 1..7 to [-1, 1].

    Raises:
        ValueError: the rating is outside 1..7, or not a number.
    """
    if not 1.0 <= rating <= 7.0:
        raise ValueError(f"a rating is {rating}; ratings lie from 1 to 7")
    return (rating - RATING_NEUTRAL) / RATING_REACH


def concepts_to_json(concepts: list[Concept]) -> str:
    """Writes concepts as rows [name, arousal, valence], with [themes] and rated_by where one of them is known."""
    return json.dumps([_to_row(concept) for concept in concepts], ensure_ascii=False)


def _to_row(concept: Concept) -> list[object]:
    row: list[object] = [concept.name, round(concept.arousal, 4), round(concept.valence, 4)]
    known = concept.themes or concept.rated_by
    return [*row, list(concept.themes), concept.rated_by] if known else row


def concepts_from_json(text: str) -> tuple[Concept, ...]:
    """Reads concepts from the text of `concepts_to_json`.

    Raises:
        ValueError: a sentiment is outside [-1, 1], its rater is unknown, or two concepts share a name.
    """
    concepts = tuple(_parse_row(row) for row in json.loads(text))
    for concept in concepts:
        if concept.rated_by not in ("", *RATERS):
            raise ValueError(f"{concept.name!r} is rated by {concept.rated_by!r}; use {' or '.join(RATERS)}, or ''")
        if not (abs(concept.arousal) <= 1 and abs(concept.valence) <= 1):
            raise ValueError(
                f"the sentiment of {concept.name!r} is ({concept.arousal}, {concept.valence}); use -1 to 1"
            )
    names = [concept.name for concept in concepts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two concepts are called {twice[0]!r}; give each its own name")
    return concepts


def _parse_row(row: Iterable[Any]) -> Concept:
    name, arousal, valence, *more = row
    themes, rated_by = more or ((), "")
    return Concept(str(name), float(arousal), float(valence), tuple(map(str, themes)), str(rated_by))
