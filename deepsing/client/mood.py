"""The mood of a story in words: darker or brighter, calmer or wilder than its song."""

import math
from collections.abc import Iterable

from deepsing.client.errors import Refused
from deepsing.v1 import composer_pb2 as pb

__all__ = ["Moods", "parse_mood"]

Moods = str | Iterable[str] | tuple[float, float]

DEFAULT_AMOUNT = 0.5
# Shift of arousal and valence of an amount of 1: twice the spread of the built-in engine's concepts (0.22 and 0.34), so
# that typical music gets what the story otherwise keeps for its calmest, wildest, darkest or brightest moments.
REACH = (0.45, 0.7)
MOODS = {"calmer": (0, -1), "wilder": (0, 1), "darker": (1, -1), "brighter": (1, 1)}  # axis (0 arousal), direction
OPPOSITES = "calmer or wilder, and darker or brighter"


def parse_mood(wanted: Moods) -> pb.Mood | None:
    """Reads a mood; None if it shifts nothing.

    Args:
        wanted: words such as "darker" or "calmer=0.3" (0 to 1; 0.5 without a number), one of each pair at most, also in
            one text with commas; or the shift itself, (arousal, valence).

    Raises:
        Refused: MOOD_OUT_OF_RANGE.
    """
    if isinstance(wanted, tuple) and wanted and not any(isinstance(one, str) for one in wanted):
        if len(wanted) != 2:
            raise _refuse(str(wanted), "give words, or the shift of arousal and that of valence")
        arousal, valence = wanted
        return pb.Mood(arousal=float(arousal), valence=float(valence)) if arousal or valence else None
    texts = [wanted] if isinstance(wanted, str) else map(str, wanted)
    shift: dict[int, float] = {}
    for word in (part.strip() for text in texts for part in text.split(",")):
        if not word:
            continue
        name, has_amount, amount = word.partition("=")
        if name.strip().lower() not in MOODS:
            raise _refuse(word, f"choose {', '.join(MOODS)}, also with a number, such as darker=0.3")
        axis, direction = MOODS[name.strip().lower()]
        if axis in shift:
            raise _refuse(word, f"it is given beside another; choose one of {OPPOSITES}")
        shift[axis] = direction * REACH[axis] * (_parse_amount(word, amount) if has_amount else DEFAULT_AMOUNT)
    return pb.Mood(arousal=shift.get(0, 0.0), valence=shift.get(1, 0.0)) if any(shift.values()) else None


def _parse_amount(word: str, text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not 0 <= amount <= 1:
        raise _refuse(word, "choose a number from 0 to 1")
    return amount


def _refuse(word: str, way_out: str) -> Refused:
    metadata = {"field": "mood", "value": word[:200]}
    return Refused(f"mood is {word[:200]!r}; {way_out}", reason="MOOD_OUT_OF_RANGE", metadata=metadata)
