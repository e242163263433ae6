"""The concepts of an engine and what people feel when they see each of them.

Ratings of the embedded engine's concepts: OASIS (Kurdi, Lozano & Banaji 2017), 1..7 mapped to -1..1, where people rated
them; else the labeller's readings.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lexicon", "load_lexicon", "encode_distances", "F32", "F64"]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

STEPS = 100  # per unit of a stored distance; 1 is the mean distance of two concepts, 2.55 the longest stored


@dataclass(frozen=True)
class Lexicon:
    """An engine's K concepts and their sentiments."""

    engine: str
    names: tuple[str, ...]
    themes: tuple[str, ...]  # concepts of one kind share a theme, for example "thunderstorm"
    ratings: F64  # (K, 2): arousal, valence in -1..1
    digest: str  # lower-case hex SHA-256 of the file
    readings: F64  # (K, 2): the labeller's prediction for the engine's picture; the rating if there is none
    distances: F64  # (K, K): how different two concepts look, 1 on average; all 0 if not measured
    raters: tuple[str, ...] = ()  # who rated each: "people" or "model"; empty if the table does not say
    kin: NDArray[np.int64] = field(init=False, repr=False)  # (K,): number of each concept's theme

    @property
    def by_people(self) -> NDArray[np.bool_]:
        """(K,): whether no model rated the concept."""
        return np.array([rater != "model" for rater in self.raters or ("",) * len(self.names)])

    def __post_init__(self) -> None:
        object.__setattr__(self, "kin", np.unique(self.themes, return_inverse=True)[1].reshape(-1))


def load_lexicon(path: Path) -> Lexicon:
    """Reads a table of rated concepts.

    Args:
        path: JSON with `engine` and `concepts`, each with name, theme, arousal and valence in -1..1, perhaps rated_by;
            after training.translator.read_concepts also with read_arousal and read_valence, and `distances`.

    Raises:
        ValueError: a value is missing, out of range or not finite, a name appears twice, or fewer than two concepts.
    """
    raw = path.read_bytes()
    table = json.loads(raw)
    concepts = table["concepts"]
    names = tuple(concept["name"] for concept in concepts)
    if len(names) < 2 or len(set(names)) != len(names):
        raise ValueError(f"{path.name} has {len(names)} concepts, {len(set(names))} names; give at least 2, each once")
    rated = [(concept["arousal"], concept["valence"]) for concept in concepts]
    read = [
        (concept.get("read_arousal", arousal), concept.get("read_valence", valence))
        for concept, (arousal, valence) in zip(concepts, rated, strict=True)
    ]
    ratings, readings = np.array(rated, dtype=np.float64), np.array(read, dtype=np.float64)
    for values in (ratings, readings):
        if not (np.abs(values) <= 1).all():
            row = int(np.flatnonzero(~(np.abs(values) <= 1).all(axis=1))[0])
            raise ValueError(f"{path.name} rates '{names[row]}' {values[row].tolist()}; give values from -1 to 1")
    themes = tuple(concept["theme"] for concept in concepts)
    distances = decode_distances(table.get("distances", ""), len(names), path.name)
    raters = tuple(concept.get("rated_by", "") for concept in concepts)
    digest = hashlib.sha256(raw).hexdigest()
    return Lexicon(table["engine"], names, themes, ratings, digest, readings, distances, raters)


def encode_distances(distances: F64) -> str:
    """Distances (K, K) → one byte for every pair above the diagonal, row by row, as base64."""
    above = distances[np.triu_indices(len(distances), 1)]
    steps = np.rint(np.minimum(above / max(float(above.mean()), 1e-12) * STEPS, 255)).astype(np.uint8)
    return base64.b64encode(steps.tobytes()).decode("ascii")


def decode_distances(text: str, count: int, file: str) -> F64:
    """Distances (count, count) of a text by `encode_distances`; all 0 for an empty text.

    Raises:
        ValueError: the text holds another number of distances.
    """
    distances = np.zeros((count, count))
    if text:
        steps = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
        pairs = count * (count - 1) // 2
        if len(steps) != pairs:
            raise ValueError(
                f"{file} has {len(steps)} distances for {pairs} pairs; run training.translator.read_concepts"
            )
        distances[np.triu_indices(count, 1)] = steps / STEPS
    return distances + distances.T
