"""The dictionary: what people feel when they see each concept of an engine.

Ratings of the embedded engine's concepts: OASIS (Kurdi, Lozano & Banaji 2017), 1..7 mapped to -1..1.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lexicon", "load_lexicon", "PARTNER_LIMIT", "F32", "F64"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

PARTNER_LIMIT = 0.28  # largest weight beside the main concept: past this, two subjects turn to mud
PARTNER_FLOOR = 0.02  # a smaller share cannot be seen


@dataclass(frozen=True)
class Lexicon:
    """An engine's K concepts and their sentiments, with what follows from them alone."""

    engine: str
    names: tuple[str, ...]
    themes: tuple[str, ...]  # kin share a theme, for example "thunderstorm"
    ratings: F64  # (K, 2): arousal, valence in -1..1
    digest: str  # lower-case hex SHA-256 of the file
    strides: F64 = field(init=False, repr=False)  # (2, K, K): from the main concept (row) to the partner
    starts: F64 = field(init=False, repr=False)  # (K, K): the main concept's rating times the stride
    spans: F64 = field(init=False, repr=False)  # (K, K): squared lengths of the strides, never 0
    kin: NDArray[np.bool_] = field(init=False, repr=False)  # (K, K): same theme

    def __post_init__(self) -> None:
        strides = self.ratings.T[:, None, :] - self.ratings.T[:, :, None]
        themes = np.array(self.themes)
        object.__setattr__(self, "strides", strides)
        object.__setattr__(self, "starts", (self.ratings.T[:, :, None] * strides).sum(0))
        object.__setattr__(self, "spans", np.maximum(np.square(strides).sum(0), 1e-12))
        object.__setattr__(self, "kin", themes[None, :] == themes[:, None])

    def blends(self, target: F64) -> tuple[F64, F64]:
        """Finds, for every pair of concepts, the mixture whose rated sentiment is nearest a target.

        Args:
            target: (2,), arousal and valence.

        Returns:
            The partner's weight (K, K), 0 or in [PARTNER_FLOOR, PARTNER_LIMIT], row = main concept; and the
            squared distance of that mixture from the target (K, K).
        """
        along = target[0] * self.strides[0] + target[1] * self.strides[1] - self.starts
        shares = np.clip(along / self.spans, 0.0, PARTNER_LIMIT)
        shares[shares < PARTNER_FLOOR] = 0.0
        apart = np.square(target - self.ratings).sum(-1)
        missed = apart[:, None] - shares * (2 * along - shares * self.spans)
        return shares, np.maximum(missed, 0.0)


def load_lexicon(path: Path) -> Lexicon:
    """Reads a table of rated concepts.

    Args:
        path: JSON with `engine` and `concepts`, each of name, theme, arousal and valence in -1..1.

    Raises:
        ValueError: a rating is missing, out of range or not finite, a name appears twice, or fewer than two concepts.
    """
    raw = path.read_bytes()
    table = json.loads(raw)
    concepts = table["concepts"]
    names = tuple(concept["name"] for concept in concepts)
    ratings = np.array([(concept["arousal"], concept["valence"]) for concept in concepts], dtype=np.float64)
    if len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"{path.name} has {len(names)} concepts, {len(set(names))} names; give at least 2, each once")
    if not (np.abs(ratings) <= 1).all():
        row = int(np.flatnonzero(~(np.abs(ratings) <= 1).all(axis=1))[0])
        raise ValueError(f"{path.name} rates '{names[row]}' {ratings[row].tolist()}; give values from -1 to 1")
    themes = tuple(concept["theme"] for concept in concepts)
    return Lexicon(table["engine"], names, themes, ratings, hashlib.sha256(raw).hexdigest())
