"""Samples an engine: pictures under noise, and what a judge reads off them. For training and measuring only."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.translator.judge.model import Judge, PictureFeatures
from services.translator.judge.onnx import open_network
from services.translator.lexicon import F32, F64, Lexicon
from services.translator.translate import NOISE_LIMIT

__all__ = ["OnnxEngine", "Samples", "EngineSampler", "draw_samples", "TRUNCATION"]

TRUNCATION = 0.5  # how far noise moves samples, unless told otherwise


class OnnxEngine:
    """An engine opened by its exported file: the contract of training/generator/export.py, not its code.

    The graph takes class weights (N, K), noise (N, Z) and truncation (N,) and gives pictures (N, H, W, 3); its metadata
    holds `concepts` as JSON rows [name, …], `noise_size`, and the concepts' `latents` (K, D) as base64 of little-endian
    32-bit floats.
    """

    def __init__(self, engine: Path, threads: int = 1) -> None:
        self._session = open_network(engine, threads)
        facts = self._session.get_modelmeta().custom_metadata_map
        self.names = tuple(str(row[0]) for row in json.loads(facts["concepts"]))
        self.noise_size = int(facts["noise_size"])
        self.latents = decode_floats(facts["latents"]).reshape(len(self.names), -1)

    def paint(self, class_weights: F32, noise: F32, truncation: float) -> Iterator[NDArray[np.uint8]]:
        """Paints one picture (H, W, 3) after another from class weights (N, K) and noise (N, Z)."""
        truncations = np.array([truncation], np.float32)
        for weights, moves in zip(class_weights.astype(np.float32), noise.astype(np.float32), strict=True):
            given = {"class_weights": weights[None], "noise": moves[None], "truncation": truncations}
            yield self._session.run(None, given)[0][0]


@dataclass(frozen=True)
class EngineSampler:
    """An engine, its concepts, and a judge that reads what it paints."""

    lexicon: Lexicon
    engine: OnnxEngine
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
        return self.judge.read(self.backbone.extract(self.engine.paint(class_weights, noise, self.truncation)), themes)


@dataclass(frozen=True)
class Samples:
    """Pictures of single concepts under noise."""

    concepts: NDArray[np.int64]  # (N,)
    noise: F32  # (N, Z)
    features: F32  # (N, D), of the backbone

    def select(self, rows: NDArray[np.int64]) -> Samples:
        """The samples of these rows."""
        return Samples(self.concepts[rows], self.noise[rows], self.features[rows])


def draw_samples(
    engine: OnnxEngine, backbone: PictureFeatures, per_concept: int, truncation: float, seed: int
) -> Samples:
    """Paints every concept `per_concept` times, each under its own noise, and looks at the pictures."""
    from tqdm import tqdm  # of the extra "train"; measuring does without

    rng = np.random.default_rng(seed)
    concepts = np.tile(np.arange(len(engine.names)), per_concept)
    noise = rng.standard_normal((len(concepts), engine.noise_size), dtype=np.float32)
    noise = np.clip(noise, -NOISE_LIMIT, NOISE_LIMIT)
    weights = np.eye(len(engine.names), dtype=np.float32)[concepts]
    pictures = tqdm(engine.paint(weights, noise, truncation), total=len(concepts), unit="picture", mininterval=5)
    return Samples(concepts, noise, backbone.extract(pictures))


def decode_floats(text: str) -> F32:
    """Base64 of little-endian 32-bit floats → (n,)."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)
