"""The dictionary translator of the original paper: a baseline."""

from __future__ import annotations

import hashlib

import numpy as np

from services.translator.lexicon import F32, Lexicon
from services.translator.translate import Passage

__all__ = ["OriginalTranslator"]

SPREAD = 1e-6  # a smaller standard deviation counts as 0


class OriginalTranslator:
    """Takes z-scores of the sentiments of the request and of the concepts, and chooses the nearest concept.

    Source: Passalis & Doropoulos (2021), section 3.3. Differs: the paper takes z-scores over the whole song, this over
    one request, so that a story cut otherwise is another story. Sentiments without spread, for example a single one,
    have no z-scores: the concepts' mean and spread are used instead.
    """

    description = (
        "The paper's rule: the concept nearest after z-scoring the sentiments of a request; a single one is not scored."
    )

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.digest = hashlib.sha256(f"original 1 {lexicon.digest}".encode()).hexdigest()

    def latents(self, passage: Passage) -> tuple[F32, F32]:
        """One concept per row, with weight 1, and fresh noise."""
        ratings, targets = self.lexicon.ratings, passage.sentiments
        measured = targets if (targets.std(0) > SPREAD).all() else ratings
        song = (targets - measured.mean(0)) / np.maximum(measured.std(0), SPREAD)
        classes = (ratings - ratings.mean(0)) / np.maximum(ratings.std(0), SPREAD)
        weights = np.zeros((len(targets), len(classes)), np.float32)
        for row, feeling in enumerate(song):
            weights[row, np.square(feeling - classes).sum(-1).argmin()] = 1.0
        return weights, passage.draw_noise()
