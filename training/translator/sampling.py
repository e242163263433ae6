"""Samples an engine: paints pictures under noise and reads them with a judge."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.generator.engine import Engine
from services.translator.judge.model import Judge, PictureFeatures
from services.translator.lexicon import F32, F64, Lexicon
from services.translator.translate import NOISE_LIMIT
from training.generator.painting import paint_rows

__all__ = ["Samples", "EngineSampler", "draw_samples", "TRUNCATION"]

TRUNCATION = 0.5  # how far noise moves samples, by default


@dataclass(frozen=True)
class EngineSampler:
    """An engine, its concepts, and a judge that reads what it paints."""

    lexicon: Lexicon
    engine: Engine
    latents: F32  # (K, D), where the concepts lie in the engine's space
    backbone: PictureFeatures
    judge: Judge
    truncation: float

    def read_painted(self, class_weights: F32, noise: F32) -> F64:
        """Paints latents and has them read by a judge who knows neither of the two strongest concepts, (N, 2)."""
        strongest = np.argsort(-class_weights, axis=1)[:, :2]
        themes = [
            [self.lexicon.themes[concept] for concept in row if weights[concept] > 0]
            for row, weights in zip(strongest, class_weights, strict=True)
        ]
        return self.judge.read(
            self.backbone.extract(paint_rows(self.engine, class_weights, noise, self.truncation)), themes
        )


@dataclass(frozen=True)
class Samples:
    """Pictures of single concepts under noise."""

    concepts: NDArray[np.int64]  # (N,)
    noise: F32  # (N, Z)
    features: F32  # (N, D), of the backbone

    def select(self, rows: NDArray[np.int64]) -> "Samples":
        """The samples of these rows."""
        return Samples(self.concepts[rows], self.noise[rows], self.features[rows])


def draw_samples(engine: Engine, backbone: PictureFeatures, per_concept: int, truncation: float, seed: int) -> Samples:
    """Paints every concept `per_concept` times, each under its own noise, and extracts the pictures' features."""
    from tqdm import tqdm  # of the extra "train"; measuring does without

    rng = np.random.default_rng(seed)
    concepts = np.tile(np.arange(len(engine.concepts)), per_concept)
    noise = rng.standard_normal((len(concepts), engine.noise_size), dtype=np.float32)
    noise = np.clip(noise, -NOISE_LIMIT, NOISE_LIMIT)
    weights = np.eye(len(engine.concepts), dtype=np.float32)[concepts]
    pictures = tqdm(paint_rows(engine, weights, noise, truncation), total=len(concepts), unit="picture", mininterval=5)
    return Samples(concepts, noise, backbone.extract(pictures))
