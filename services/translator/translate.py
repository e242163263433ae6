"""Turns sentiments into points of a generator's latent space.

Source: deepsing (Passalis & Doropoulos 2021), section 3.3, dictionary-based translation.
Differs: the paper takes the nearest class by word norms, z-scored over each song. Here concepts carry ratings of
pictures on an absolute scale, and a model's prediction for the engine's own picture of them; and concepts shown lately
cost more.
"""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.translator.lexicon import F32, F64, Lexicon

__all__ = [
    "DictionaryTranslator",
    "JourneyTranslator",
    "OriginalTranslator",
    "Passage",
    "Translation",
    "Translator",
    "translate",
]

Mask = NDArray[np.bool_]

NOISE_SIZE = 128  # Z, as in the generators of the paper
NOISE_LIMIT = 2.0  # at which noise is truncated, standard deviations
MEMORY = 64  # concepts remembered; the contract allows as many in `recent_concepts`

# The cost of a concept: its squared distance from the sentiment, in deviations, plus:
LEGIBILITY = 0.1  # share of the model's prediction in that distance; the rest is the rating
LEAST_SPREAD = 0.05  # least deviation of a dimension, for engines whose concepts are all rated alike
REACH = 0.5  # a sentiment farther than this from every concept is moved to this distance of the nearest
WEAR, WEAR_MEMORY = 0.35, 12.0  # for a concept shown just now; number of concepts in which that fades to 1/e
AGAIN, SOON = 10.0, 4  # for each of the concepts shown last, and how many those are: 20 s, with a new one every 5 s
KIN_WEAR = 0.25  # share of the wear that all concepts of the same theme get
JITTER = 0.009  # mean of a random cost, from the seed, that makes two stories of one song differ

# Of the journey:
JUMP = 0.4  # cost of a step between two concepts of average distance
FORESIGHT = 0.7  # weight of the cost of the step after this one, if the sentiment stays

# Of the original:
SPREAD = 1e-6  # a smaller standard deviation counts as 0


@dataclass(frozen=True)
class Passage:
    """A sequence of sentiments within a story."""

    sentiments: F64  # (n, 2): arousal, valence in -1..1
    seed: int = 0
    first_index: int = 0  # index of the first sentiment in its story
    recent_concepts: tuple[int, ...] = ()  # concepts shown before, the latest last
    allowed_concepts: tuple[int, ...] = ()  # that may be chosen; empty for all

    def find_barred(self, concept_count: int) -> Mask:
        """Which concepts must not be chosen, (concept_count,)."""
        barred = np.full(concept_count, bool(self.allowed_concepts))
        barred[list(self.allowed_concepts)] = False
        return barred

    def random_generator(self, row: int, stream: int) -> np.random.Generator:
        """Random numbers of one sentiment: they depend on seed, index and purpose, not on how a story is cut."""
        return np.random.default_rng((self.seed, self.first_index + row, stream))

    def draw_noise(self) -> F32:
        """Draws standard-normal noise truncated at ±NOISE_LIMIT, (n, NOISE_SIZE), one stream per sentiment."""
        noise = np.empty((len(self.sentiments), NOISE_SIZE), np.float32)
        for row in range(len(noise)):
            drawn = self.random_generator(row, stream=1).standard_normal(2 * NOISE_SIZE, dtype=np.float32)
            noise[row] = drawn[np.abs(drawn) <= NOISE_LIMIT][:NOISE_SIZE]  # 95 % of twice as many: always enough
        return noise


@dataclass(frozen=True)
class Translation:
    """Points of the latent space, one per sentiment."""

    class_weights: F32  # (n, K), rows on the simplex
    noise: F32  # (n, NOISE_SIZE), within ±NOISE_LIMIT
    expected: F32  # (n, 2): rated sentiment of each row's mixture


class Translator(Protocol):
    """A way to translate sentiments."""

    lexicon: Lexicon  # the concepts it chooses from
    description: str  # one English sentence
    digest: str  # lower-case hex SHA-256 of everything that decides its answers

    def latents(self, passage: Passage) -> tuple[F32, F32]:
        """Class weights (n, K), rows on the simplex, and noise (n, NOISE_SIZE)."""
        ...


def translate(translator: Translator, passage: Passage) -> Translation:
    """Translates a passage; equal passages give equal answers."""
    class_weights, noise = translator.latents(passage)
    # einsum adds row by row; a BLAS product's last bit would depend on how many rows there are
    expected = np.einsum("nk,kd->nd", class_weights, translator.lexicon.ratings)
    return Translation(class_weights, noise, expected.astype(np.float32))


class DictionaryTranslator:
    """Chooses the concept whose rating is nearest to the sentiment; concepts shown lately cost more."""

    description = "Chooses the concept whose ratings by people and a model are nearest; avoids those shown lately."

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        costs = (LEGIBILITY, LEAST_SPREAD, REACH, WEAR, WEAR_MEMORY, AGAIN, SOON, KIN_WEAR, JITTER)
        self.digest = hashlib.sha256(f"dictionary 3 {costs} {lexicon.digest}".encode()).hexdigest()

    def latents(self, passage: Passage) -> tuple[F32, F32]:
        """One concept per row, with weight 1, and fresh noise."""
        weights = np.zeros((len(passage.sentiments), len(self.lexicon.names)), np.float32)
        shown = list(passage.recent_concepts[-MEMORY:])
        for row in range(len(weights)):
            concept = self.choose(passage, row, shown)
            weights[row, concept] = 1.0
            shown = [*shown, concept][-MEMORY:]
        return weights, passage.draw_noise()

    def choose(self, passage: Passage, row: int, shown: list[int]) -> int:
        """The concept for a sentiment of a passage, after those shown before, the latest last."""
        jitter = passage.random_generator(row, stream=0).exponential(JITTER, len(self.lexicon.names))
        barred = passage.find_barred(len(jitter))
        cost = self.cost(passage.sentiments[row], shown, barred) + jitter
        if passage.allowed_concepts:  # so few may lie so far apart that AGAIN would not keep the last one away
            cost[shown[-1:]] = np.inf
        return int(cost.argmin())

    def cost(self, target: F64, shown: list[int], barred: Mask) -> F64:
        """The cost of each concept for a sentiment (2,), after those shown before, the latest last: (K,).

        That of a barred concept is infinite, and no other's depends on it.
        """
        return self.distance(target, barred) + self.wear(shown)

    def distance(self, target: F64, barred: Mask) -> F64:
        """Squared distance of each concept from a sentiment (2,), in deviations of the ratings: (K,)."""
        ratings, readings = self.lexicon.ratings, self.lexicon.readings
        spread = np.maximum(ratings.std(0), LEAST_SPREAD)  # arousals lie closer together than valences
        apart = np.where(barred, np.inf, np.square((target - ratings) / spread).sum(-1))
        nearest = ratings[apart.argmin()]
        near = nearest + (target - nearest) * min(1.0, REACH / max(float(np.sqrt(apart.min())), 1e-12))
        by_rating, by_reading = (np.square((near - felt) / spread).sum(-1) for felt in (ratings, readings))
        return np.where(barred, np.inf, (1 - LEGIBILITY) * by_rating + LEGIBILITY * by_reading)

    def wear(self, shown: list[int]) -> F64:
        """What each concept costs for having been shown, (K,): most if shown last, less with every concept since."""
        freshness = WEAR * np.exp(-np.arange(len(shown))[::-1] / WEAR_MEMORY)
        own = np.zeros(len(self.lexicon.names))
        np.add.at(own, np.array(shown, np.intp), freshness)
        kin = np.bincount(self.lexicon.kin, weights=own)[self.lexicon.kin]
        wear = np.asarray((1 - KIN_WEAR) * own + KIN_WEAR * kin)
        wear[shown[-SOON:]] += AGAIN
        return wear


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

    def cost(self, target: F64, shown: list[int], barred: Mask) -> F64:
        """The cost of each concept now, and of what can follow it, (K,)."""
        settled = super().cost(target, shown, barred)
        step = self._jumps[shown[-1]] if shown else 0.0
        return np.asarray(settled + step + FORESIGHT * (settled + self._onward).min(1))


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
        weights, barred = np.zeros((len(targets), len(classes)), np.float32), passage.find_barred(len(classes))
        for row, feeling in enumerate(song):
            weights[row, np.where(barred, np.inf, np.square(feeling - classes).sum(-1)).argmin()] = 1.0
        return weights, passage.draw_noise()
