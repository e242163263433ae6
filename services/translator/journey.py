"""The dictionary with smooth changes: the next concept looks like the last one, and has similar ones to follow it."""

from __future__ import annotations

import hashlib

import numpy as np

from services.translator.lexicon import F64, Lexicon
from services.translator.translate import AGAIN, DictionaryTranslator

__all__ = ["JourneyTranslator"]

JUMP = 0.4  # cost of a step between two concepts of average distance
FORESIGHT = 0.7  # weight of the cost of the step after this one, if the sentiment stays


class JourneyTranslator(DictionaryTranslator):
    """Chooses as the dictionary does, and adds the cost of how much the picture would change.

    The last concept is in `recent_concepts`, so that a story gives the same concepts however it is cut into requests.
    For the same reason, and so that live and offline agree, later sentiments are not used even if a request holds
    them: the next sentiment is assumed to be the present one. Each concept also gets the cost of the cheapest concept
    that could follow it, so that none is chosen that has no good successor. Our own design.
    """

    description = "Like dictionary, but prefers a next concept that looks like the last one."

    def __init__(self, lexicon: Lexicon) -> None:
        super().__init__(lexicon)
        self.digest = hashlib.sha256(f"journey 1 {JUMP} {FORESIGHT} {self.digest}".encode()).hexdigest()
        self._jumps = JUMP * lexicon.distances
        self._onward = self._jumps + AGAIN * np.eye(len(lexicon.names))

    def cost(self, target: F64, shown: list[int]) -> F64:
        """The cost of each concept now, and of what can follow it, (K,)."""
        settled = super().cost(target, shown)
        step = self._jumps[shown[-1]] if shown else 0.0
        return np.asarray(settled + step + FORESIGHT * (settled + self._onward).min(1))
