"""The dictionary that also goes smoothly: its next concept lies near the last, and well placed to go on from."""

from __future__ import annotations

import hashlib

import numpy as np

from services.translator.lexicon import F64, Lexicon
from services.translator.translate import AGAIN, DictionaryTranslator

__all__ = ["JourneyTranslator"]

JUMP = 0.4  # cost of a step between two concepts as unlike as two are on average
FORESIGHT = 0.7  # weight of the step after this one, should the feeling stay


class JourneyTranslator(DictionaryTranslator):
    """Chooses as the dictionary does, and weighs how far the picture would jump.

    The last concept is in `recent_concepts`, so that a story cut into requests stays the same story. Feelings to come
    are not looked at, even where a request holds them, for the same reason and so that live and offline agree: the best
    guess of the next feeling is the present one. From each concept the cheapest one to go on to is found, so that none
    is chosen that leads into a corner. Of our own design.
    """

    description = "The dictionary on a smooth path: the next concept looks like the last and leads on to others."

    def __init__(self, lexicon: Lexicon) -> None:
        super().__init__(lexicon)
        self.digest = hashlib.sha256(f"journey 1 {JUMP} {FORESIGHT} {self.digest}".encode()).hexdigest()
        self._jumps = JUMP * lexicon.distances
        self._onward = self._jumps + AGAIN * np.eye(len(lexicon.names))

    def cost(self, target: F64, shown: list[int]) -> F64:
        """What showing each concept costs now and next, (K,)."""
        settled = super().cost(target, shown)
        step = self._jumps[shown[-1]] if shown else 0.0
        return np.asarray(settled + step + FORESIGHT * (settled + self._onward).min(1))
