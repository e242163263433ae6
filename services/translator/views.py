"""Neural translators: small networks from a sentiment to class weights and noise, each one view of the engine.

Source: Passalis & Doropoulos (2021), section 3.3, neural translation with several views; training.translator.train
makes the networks. Differs: a view has logits only for the classes drawn for it (the others would be negligible), noise
is scaled back to unit deviation (means of noise are short vectors), and sentiments are on the scale of the ratings.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.translator.lexicon import F32, F64, Lexicon
from services.translator.translate import MEMORY, NOISE_LIMIT, NOISE_SIZE, DictionaryTranslator, Passage

__all__ = ["View", "ViewTranslator", "load_views", "save_views"]

TEMPERATURE = 0.05  # of the softmax; the paper's
LEAST_SHARE = 0.01  # of the classes that may be shown; what a softmax gives to less probable ones says nothing


@dataclass(frozen=True)
class View:
    """A trained network 2 → 64 → 256 → {classes, noise}."""

    classes: NDArray[np.int64]  # (C,), the concepts it chooses from
    centre: F32  # (2,), subtracted from a sentiment …
    spread: F32  # (2,), … which is then divided by this
    hidden: tuple[tuple[F32, F32], ...]  # weights (inputs, outputs) and bias of each rectified layer
    logits: tuple[F32, F32]  # weights (256, C) and bias
    noise: tuple[F32, F32]  # weights (256, NOISE_SIZE) and bias

    def forward(self, sentiment: F64) -> tuple[F32, F32]:
        """One sentiment (2,) → class weights over its classes (C,) and noise (NOISE_SIZE,)."""
        signal = ((sentiment - self.centre) / self.spread).astype(np.float32)
        for weights, bias in self.hidden:
            signal = np.maximum(signal @ weights + bias, 0)
        logits = (signal @ self.logits[0] + self.logits[1]) / TEMPERATURE
        shares = np.exp(logits - logits.max())
        noise = signal @ self.noise[0] + self.noise[1]
        noise /= max(float(noise.std()), 1e-6)
        return shares / shares.sum(), np.clip(noise, -NOISE_LIMIT, NOISE_LIMIT)


class ViewTranslator:
    """A view as a translator. Nothing is random: equal sentiments give equal pictures in every story.

    Where only some concepts may be chosen, it shares its weight among those of its classes that may; if it gives them
    less than LEAST_SHARE, the dictionary chooses for it.
    """

    def __init__(self, lexicon: Lexicon, view: View, number: int, digest: str) -> None:
        self.lexicon = lexicon
        self.description = f"A small network, number {number}, trained on a model's ratings of the engine's pictures."
        self._view, self._dictionary = view, DictionaryTranslator(lexicon)
        self.digest = hashlib.sha256(f"view {number} {digest} {self._dictionary.digest}".encode()).hexdigest()

    def latents(self, passage: Passage) -> tuple[F32, F32]:
        """Class weights and noise, row by row: a product of many rows would differ in its last bit."""
        weights = np.zeros((len(passage.sentiments), len(self.lexicon.names)), np.float32)
        noise = np.empty((len(passage.sentiments), NOISE_SIZE), np.float32)
        for row, sentiment in enumerate(passage.sentiments):
            weights[row, self._view.classes], noise[row] = self._view.forward(sentiment)
        if passage.allowed_concepts:
            self._keep_allowed(weights, passage)
        return weights, noise

    def _keep_allowed(self, weights: F32, passage: Passage) -> None:
        """Takes the weight of barred concepts away, row by row, in place."""
        weights[:, passage.find_barred(weights.shape[1])] = 0
        shown = list(passage.recent_concepts[-MEMORY:])
        for row, shares in enumerate(weights):
            if (left := shares.sum()) >= LEAST_SHARE:
                shares /= left
            else:
                shares[:] = 0
                shares[self._dictionary.choose(passage, row, shown)] = 1
            shown = [*shown, int(shares.argmax())][-MEMORY:]


def names_digest(names: tuple[str, ...]) -> str:
    """A digest of an engine's concepts in their order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def save_views(views: list[View], names: tuple[str, ...], path: Path) -> None:
    """Writes views as 16-bit floats."""
    arrays: dict[str, NDArray[Any]] = {"names": np.array(names_digest(names)), "count": np.array(len(views))}
    for number, view in enumerate(views):
        layers = {"logits": view.logits, "noise": view.noise}
        layers |= {f"hidden{depth}": layer for depth, layer in enumerate(view.hidden)}
        arrays |= {f"{number}/{name}/weights": layer[0].astype(np.float16) for name, layer in layers.items()}
        arrays |= {f"{number}/{name}/bias": layer[1].astype(np.float16) for name, layer in layers.items()}
        arrays |= {f"{number}/classes": view.classes, f"{number}/scale": np.stack([view.centre, view.spread])}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own options


def load_views(path: Path, names: tuple[str, ...]) -> list[View]:
    """Reads views.

    Raises:
        ValueError: they were trained for other concepts than `names`.
    """
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if str(arrays["names"]) != names_digest(names):
        raise ValueError(f"{path.name} was trained for other concepts; train it again with training.translator.train")
    return [_parse_view(arrays, number) for number in range(int(arrays["count"]))]


def _parse_view(arrays: dict[str, NDArray[Any]], number: int) -> View:
    def layer(name: str) -> tuple[F32, F32]:
        return tuple(arrays[f"{number}/{name}/{part}"].astype(np.float32) for part in ("weights", "bias"))  # type: ignore[return-value]

    centre, spread = arrays[f"{number}/scale"].astype(np.float32)
    depth = sum(name.startswith(f"{number}/hidden") for name in arrays) // 2
    hidden = tuple(layer(f"hidden{level}") for level in range(depth))
    return View(arrays[f"{number}/classes"], centre, spread, hidden, layer("logits"), layer("noise"))
