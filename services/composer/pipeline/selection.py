"""Which of an engine's concepts a story may show, by the names that its caller gave."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import generator_pb2
from services.composer.story.gaps import find_gaps
from services.composer.story.plan import StoryPlan

__all__ = ["Selection", "select_concepts", "suggest_names"]

LEAST_CONCEPTS = 3  # that must be left; the translator's limit, too
SUGGESTIONS, COMPARED = 3, 100  # nearest names in a refusal, at most; characters of an unknown name that count

Numbers = Mapping[str, frozenset[int]]  # a name, without its capitals -> the concepts that it stands for


@dataclass(frozen=True)
class Selection:
    """What may be shown.

    Attributes:
        allowed: numbers of the concepts, in order; empty for all.
        warnings: one sentence for each feeling that the engine has pictures for, but none that may be shown.
    """

    allowed: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def select_concepts(plan: StoryPlan, engine: str, concepts: Sequence[generator_pb2.Concept]) -> Selection:
    """The concepts that a plan's `themes`, `only` and `without` leave of an engine's.

    Raises:
        InvalidArgument: THEME_UNKNOWN or CONCEPT_NAME_UNKNOWN for a name that the engine does not have, and
            CONCEPTS_TOO_FEW if fewer than LEAST_CONCEPTS are left.
    """
    if not (plan.themes or plan.only or plan.without):
        return Selection()
    themes = _index_names((theme, number) for number, one in enumerate(concepts) for theme in one.themes)
    names = _index_names((one.name, number) for number, one in enumerate(concepts))
    anything = {name: names.get(name, frozenset()) | themes.get(name, frozenset()) for name in {**themes, **names}}
    wanted = _find_themes(plan.themes, themes, engine) | _find_concepts("only", plan.only, anything, engine)
    if not (plan.themes or plan.only):
        wanted = frozenset(range(len(concepts)))
    left = sorted(wanted - _find_concepts("without", plan.without, anything, engine))
    if len(left) < LEAST_CONCEPTS:
        what = "1 concept is" if len(left) == 1 else f"{len(left) or 'no'} concepts are"
        message = f"{what} left of those that may be shown; leave at least {LEAST_CONCEPTS}"
        reason = reasons.ERROR_REASON_CONCEPTS_TOO_FEW
        raise InvalidArgument(message, reason=reason, field="only", value=len(left))
    return Selection(() if len(left) == len(concepts) else tuple(left), _describe_gaps(concepts, left))


def _index_names(pairs: Iterable[tuple[str, int]]) -> Numbers:
    found: dict[str, frozenset[int]] = {}
    for name, number in pairs:
        found[name.casefold()] = found.get(name.casefold(), frozenset()) | {number}
    return found


def _find_themes(wanted: Iterable[str], themes: Numbers, engine: str) -> frozenset[int]:
    """The concepts of all these themes. Raises InvalidArgument THEME_UNKNOWN."""
    for theme in wanted:
        if theme.casefold() not in themes:
            choice = f"choose one of: {', '.join(sorted(themes))}" if themes else f"{engine} has none, name concepts"
            message = f"theme is {theme!r};{suggest_names(theme, themes)} {choice}"
            reason = reasons.ERROR_REASON_THEME_UNKNOWN
            raise InvalidArgument(message, reason=reason, field="themes", value=theme)
    return frozenset[int]().union(*(themes[theme.casefold()] for theme in wanted))


def _find_concepts(field: str, wanted: Iterable[str], known: Numbers, engine: str) -> frozenset[int]:
    """The concepts that are called so or have such a theme. Raises InvalidArgument CONCEPT_NAME_UNKNOWN."""
    for name in wanted:
        if name.casefold() not in known:
            unknown = f"{field} is {name!r}, which is no concept or theme of {engine}"
            message = f"{unknown};{suggest_names(name, known)} choose what ListConcepts names"
            reason = reasons.ERROR_REASON_CONCEPT_NAME_UNKNOWN
            raise InvalidArgument(message, reason=reason, field=field, value=name)
    return frozenset[int]().union(*(known[name.casefold()] for name in wanted))


def suggest_names(name: str, known: Iterable[str]) -> str:
    """The known names that are most like a name, as a part of a refusal after a semicolon; empty if none is."""
    spelled = {one.casefold(): one for one in known}
    near = get_close_matches(name[:COMPARED].casefold(), spelled, SUGGESTIONS)
    return f" the nearest: {', '.join(spelled[one] for one in near)};" if near else ""


def _describe_gaps(concepts: Sequence[generator_pb2.Concept], left: Sequence[int]) -> tuple[str, ...]:
    felt = np.array([(one.sentiment.arousal, one.sentiment.valence) for one in concepts], np.float64)
    return tuple(
        f"nothing of what may be shown feels {feeling}; the nearest, '{concepts[nearest].name}' "
        f"(arousal {felt[nearest, 0]:.2f}, valence {felt[nearest, 1]:.2f}), is shown instead"
        for feeling, nearest in find_gaps(felt, left)
    )
