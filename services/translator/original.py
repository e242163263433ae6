"""The original's dictionary translator, as the baseline that can be chosen."""

from __future__ import annotations

import hashlib

import numpy as np

from services.translator.lexicon import F32, Lexicon
from services.translator.translate import Passage

__all__ = ["OriginalTranslator"]

SPREAD = 1e-6  # a smaller standard deviation is none


class OriginalTranslator:
    """Z-scores the feelings of the request and the concepts, and takes the nearest concept.

    Source: Passalis & Doropoulos (2021), section 3.3. The paper z-scores over the whole song. Here that is what a
    request holds: a story cut otherwise is another story. Feelings without spread, a lone one for example, have no
    z-scores: the concepts' own mean and spread stand in.
    """

    description = (
        "The original's rule: the nearest concept after z-scoring what the request holds; a lone feeling as is."
    )

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.digest = hashlib.sha256(f"original 1 {lexicon.digest}".encode()).hexdigest()

    def latents(self, passage: Passage) -> tuple[F32, F32]:
        """One concept a row, whole, and fresh noise."""
        ratings, targets = self.lexicon.ratings, passage.sentiments
        measured = targets if (targets.std(0) > SPREAD).all() else ratings
        song = (targets - measured.mean(0)) / np.maximum(measured.std(0), SPREAD)
        classes = (ratings - ratings.mean(0)) / np.maximum(ratings.std(0), SPREAD)
        weights = np.zeros((len(targets), len(classes)), np.float32)
        for row, feeling in enumerate(song):
            weights[row, np.square(feeling - classes).sum(-1).argmin()] = 1.0
        return weights, passage.draw_noise()
