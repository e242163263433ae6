"""Turns feelings into points of a generator's latent space; THE line is marked in `translate`.

Source: deepsing (Passalis & Doropoulos 2021), section 3.3, dictionary-based translation.
Differs: the paper takes the nearest class by word norms, z-scored over each song. Here concepts carry human
ratings of pictures on an absolute scale; a main concept and at most one partner are mixed so that the mixture's
rated sentiment meets the target; and a concept shown lately is left to rest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from services.translator.lexicon import F32, F64, Lexicon

__all__ = ["DictionaryTranslator", "Passage", "Translation", "Translator", "translate"]

NOISE_SIZE = 128  # Z, as the generators of the paper
NOISE_LIMIT = 2.0  # noise is truncated here, in standard deviations
MEMORY = 64  # concepts remembered; the contract allows as many in `recent_concepts`

# What a choice costs, in squared units of the sentiment plane beside the squared miss of the mixture itself.
MISS = 8.0  # the miss counts this much more than all below
STRAY = 1.5  # per squared distance of the main concept from the target: its picture is what is seen
STRANGE = 0.004  # a partner of another theme
WEAR, WEAR_MEMORY = 0.1, 12.0  # a main concept shown just now; concepts after which that has faded to 1/e
AGAIN = 10.0  # the main concept shown last: it never comes twice in a row
KIN_WEAR = 0.25  # share of the wear that falls on all concepts of its theme
OUT_OF_REACH = 1e-6  # squared distance past which the nearest reachable point stands for the target
WHIM = 0.006  # mean of the seeded whim that lets two stories of one song differ


@dataclass(frozen=True)
class Passage:
    """A run of feelings within a story."""

    sentiments: F64  # (n, 2): arousal, valence in -1..1
    seed: int = 0
    first_index: int = 0  # index of the first feeling in its story
    recent_concepts: tuple[int, ...] = ()  # main concepts shown before, the latest last

    def generator(self, row: int, stream: int) -> np.random.Generator:
        """Random numbers of one feeling: decided by seed, index and purpose, never by how a story is cut."""
        return np.random.default_rng((self.seed, self.first_index + row, stream))


@dataclass(frozen=True)
class Translation:
    """Points of the latent space, one per feeling."""

    class_weights: F32  # (n, K), rows on the simplex
    noise: F32  # (n, NOISE_SIZE), within ±NOISE_LIMIT
    expected: F32  # (n, 2): rated sentiment of each row's mixture


class Translator(Protocol):
    """A way to translate feelings."""

    lexicon: Lexicon  # the concepts it speaks
    description: str  # one English sentence
    digest: str  # lower-case hex SHA-256 of all that decides its answers

    def latents(self, passage: Passage) -> tuple[F32, F32]:
        """Class weights (n, K), rows on the simplex, and noise (n, NOISE_SIZE)."""
        ...


def translate(translator: Translator, passage: Passage) -> Translation:
    """Translates a passage; equal passages give equal answers."""
    class_weights, noise = translator.latents(passage)  # <- THE line: sentiment → class weights and noise
    # einsum adds row by row; a BLAS product's last bit would depend on how many rows there are
    expected = np.einsum("nk,kd->nd", class_weights, translator.lexicon.ratings)
    return Translation(class_weights, noise, expected.astype(np.float32))


class DictionaryTranslator:
    """Looks up the concepts whose human-rated mixture is nearest the feeling, never the same ones for long."""

    description = "Mixes one or two concepts so that people's ratings of them meet the feeling; lets shown ones rest."

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        costs = (MISS, STRAY, STRANGE, WEAR, WEAR_MEMORY, AGAIN, KIN_WEAR, WHIM)
        self.digest = hashlib.sha256(f"dictionary 1 {costs} {lexicon.digest}".encode()).hexdigest()

    def latents(self, passage: Passage) -> tuple[F32, F32]:
        """Class weights with one or two concepts a row, and fresh noise."""
        weights = np.zeros((len(passage.sentiments), len(self.lexicon.names)), np.float32)
        shown = list(passage.recent_concepts[-MEMORY:])
        for row, target in enumerate(passage.sentiments):
            whim = passage.generator(row, stream=0).exponential(WHIM, len(self.lexicon.names))
            main, partner, share = self.choose(target, whim + self.wear(shown))
            weights[row, partner] = share
            weights[row, main] = 1.0 - share
            shown = [*shown, main][-MEMORY:]
        return weights, fresh_noise(passage)

    def choose(self, target: F64, reluctance: F64) -> tuple[int, int, float]:
        """Picks the cheapest pair for one feeling.

        Args:
            target: (2,). Outside what the concepts reach, the nearest reachable point stands for it.
            reluctance: (K,), added cost of each main concept.

        Returns:
            Main concept, partner, and the partner's weight: 0, or in [PARTNER_FLOOR, PARTNER_LIMIT].
        """
        lexicon = self.lexicon
        shares, missed = lexicon.blends(target)
        main, partner = np.unravel_index(missed.argmin(), missed.shape)
        reached = lexicon.ratings[main] + shares[main, partner] * lexicon.strides[:, main, partner]
        if missed[main, partner] > OUT_OF_REACH:
            shares, missed = lexicon.blends(reached)
        stray = np.square(reached - lexicon.ratings).sum(-1)
        cost = MISS * missed + (STRAY * stray + reluctance)[:, None] + STRANGE * ((shares > 0) & ~lexicon.kin)
        main, partner = np.unravel_index(cost.argmin(), cost.shape)
        return int(main), int(partner), float(shares[main, partner])

    def wear(self, shown: list[int]) -> F64:
        """How worn each concept is, (K,): highest for the one shown last, fading with every concept since."""
        freshness = WEAR * np.exp(-np.arange(len(shown))[::-1] / WEAR_MEMORY)
        own = np.zeros(len(self.lexicon.names))
        np.add.at(own, np.array(shown, np.intp), freshness)
        wear = np.asarray((1 - KIN_WEAR) * own + KIN_WEAR * (own @ self.lexicon.kin))
        wear[shown[-1:]] += AGAIN
        return wear


def fresh_noise(passage: Passage) -> F32:
    """Draws standard-normal noise truncated at ±NOISE_LIMIT, (n, NOISE_SIZE), one stream per feeling."""
    noise = np.empty((len(passage.sentiments), NOISE_SIZE), np.float32)
    for row in range(len(noise)):
        drawn = passage.generator(row, stream=1).standard_normal(2 * NOISE_SIZE, dtype=np.float32)
        noise[row] = drawn[np.abs(drawn) <= NOISE_LIMIT][:NOISE_SIZE]  # 95 % of twice as many: always enough
    return noise
