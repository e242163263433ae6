"""Concepts: what an engine can paint, each with its rated sentiment."""

import json
from dataclasses import dataclass

__all__ = ["Concept", "concepts_from_json", "concepts_to_json", "from_rating"]

RATING_NEUTRAL = 4.0  # middle of the 1..7 scale of OASIS
RATING_REACH = 3.0  # distance from the middle to either end


@dataclass(frozen=True)
class Concept:
    """A name that people understand and its sentiment, each value in [-1, 1], 0 the neutral of the scale."""

    name: str
    arousal: float
    valence: float


def from_rating(rating: float) -> float:
    """Moves a mean rating from 1..7 to [-1, 1].

    Raises:
        ValueError: the rating is outside 1..7, or not a number.
    """
    if not 1.0 <= rating <= 7.0:
        raise ValueError(f"a rating is {rating}; ratings lie from 1 to 7")
    return (rating - RATING_NEUTRAL) / RATING_REACH


def concepts_to_json(concepts: list[Concept]) -> str:
    """Writes concepts as rows [name, arousal, valence]."""
    rows = [[concept.name, round(concept.arousal, 4), round(concept.valence, 4)] for concept in concepts]
    return json.dumps(rows, ensure_ascii=False)


def concepts_from_json(text: str) -> tuple[Concept, ...]:
    """Reads concepts from the text of `concepts_to_json`.

    Raises:
        ValueError: a sentiment is outside [-1, 1], or two concepts share a name.
    """
    concepts = tuple(Concept(str(name), float(arousal), float(valence)) for name, arousal, valence in json.loads(text))
    for concept in concepts:
        if not (abs(concept.arousal) <= 1 and abs(concept.valence) <= 1):
            raise ValueError(
                f"the sentiment of {concept.name!r} is ({concept.arousal}, {concept.valence}); use -1 to 1"
            )
    names = [concept.name for concept in concepts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two concepts are called {twice[0]!r}; give each its own name")
    return concepts
