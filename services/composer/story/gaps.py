"""Which feelings a choice of concepts has nothing for."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.composer.story.scale import FLAT, Norm

__all__ = ["find_gaps"]

# In the middle of each quadrant: a spread (standard deviation) of the engine's concepts from their mean each way. Music
# in general is put on the same scale, so that these are the feelings of a song that is clearly sad, peaceful, …
QUADRANTS = {
    "sad (calm and unpleasant)": (-1, -1),
    "peaceful (calm and pleasant)": (-1, 1),
    "tense (excited and unpleasant)": (1, -1),
    "joyful (excited and pleasant)": (1, 1),
}
NEAR = 0.75  # spreads: within it lie 15 to 39 of the built-in engine's 337 concepts, in every quadrant


def find_gaps(sentiments: NDArray[np.float64], allowed: Sequence[int]) -> list[tuple[str, int]]:
    """Feelings for which an engine has concepts, but none of those that may be shown.

    Args:
        sentiments: (K, 2), arousal and valence of the engine's concepts.
        allowed: numbers of those that may be shown, at least one.

    Returns:
        Each such feeling in words, with the number of the allowed concept that is nearest to it.
    """
    norm, gaps = Norm.of(sentiments), []
    scores = (sentiments - norm.mean) / np.maximum(norm.spread, FLAT)
    for feeling, corner in QUADRANTS.items():
        apart = np.hypot(*(scores - corner).T)
        nearest = min(allowed, key=lambda concept, apart=apart: float(apart[concept]))  # type: ignore[misc]
        if apart.min() <= NEAR < apart[nearest]:
            gaps.append((feeling, nearest))
    return gaps
