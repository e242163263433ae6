"""Checks of a storyboard that need more than the caller's message: the engine, the styles, the length of the song."""

from collections.abc import Sequence

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.pipeline.selection import suggest_names
from services.composer.story.plan import StoryboardKey

__all__ = ["check_end", "check_names"]

SHOWN = 100  # characters of an unknown name in a message


def check_names(keys: Sequence[StoryboardKey], concepts: Sequence[str], styles: Sequence[str]) -> None:
    """Checks that concepts and styles exist.

    Raises:
        InvalidArgument: CONCEPT_UNKNOWN or STYLE_UNKNOWN, with names that look like the unknown one.
    """
    known, manners = set(concepts), {"", "none", *styles}
    for place, key in enumerate(keys):
        for number, (name, _) in enumerate(key.concepts):
            if name not in known:
                unknown = f"storyboard[{place}] names the concept '{name[:SHOWN]}'"
                message = f"{unknown};{suggest_names(name, concepts)} choose what ListConcepts names"
                reason, field = reasons.ERROR_REASON_CONCEPT_UNKNOWN, f"storyboard[{place}].concepts[{number}]"
                raise InvalidArgument(message, reason=reason, field=field, value=name[:SHOWN])
        if key.style not in manners:
            offer = f"choose none or one of: {', '.join(styles)}"
            message = f"storyboard[{place}] names the style '{key.style[:SHOWN]}'; {offer}"
            reason, field = reasons.ERROR_REASON_STYLE_UNKNOWN, f"storyboard[{place}].style"
            raise InvalidArgument(message, reason=reason, field=field, value=key.style[:SHOWN])


def check_end(keys: Sequence[StoryboardKey], duration_us: int) -> None:
    """Checks that all keys are before the song's end. Raises InvalidArgument STORYBOARD_INVALID."""
    for place, key in enumerate(keys):
        if key.time_s * 1e6 >= duration_us:
            message = (
                f"storyboard[{place}] is at {key.time_s:.10g} s but the song ends at {duration_us / 1e6:.3f} s; "
                "move it before the end, or take it out"
            )
            reason, field = reasons.ERROR_REASON_STORYBOARD_INVALID, f"storyboard[{place}].time_us"
            raise InvalidArgument(message, reason=reason, field=field, value=round(key.time_s * 1e6))
