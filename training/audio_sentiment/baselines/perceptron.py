"""The original's model, 9,156 features of half a second to arousal and valence, and its authors' files, read safely.

Source: Passalis & Doropoulos, "deepsing" (2019): 256 sigmoid units, two linear outputs, which are standardised. The
authors publish `mlp.model`, a torch state dict, and `space_statistics.pickle`, the mean and deviation of its outputs.
"""

import pickle  # for the name of its error; nothing is unpickled
import pickletools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.audio_sentiment.baselines.original import FEATURE_COUNT

__all__ = ["Perceptron", "PublishedFileError", "read_published"]

F32 = NDArray[np.float32]

HIDDEN_COUNT, OUTPUT_COUNT = 256, 2
SHAPES = {
    "fc1.weight": (HIDDEN_COUNT, FEATURE_COUNT),
    "fc1.bias": (HIDDEN_COUNT,),
    "fc2.weight": (OUTPUT_COUNT, HIDDEN_COUNT),
    "fc2.bias": (OUTPUT_COUNT,),
}
ITEM_TYPES = {4 * OUTPUT_COUNT: "<f4", 8 * OUTPUT_COUNT: "<f8"}  # by the bytes of a statistic


class PublishedFileError(ValueError):
    """A file is not in the authors' layout; the message says what is wrong."""


@dataclass(frozen=True)
class Perceptron:
    """The layers, and what its outputs are like in general.

    Attributes:
        hidden: (FEATURE_COUNT, HIDDEN_COUNT), hidden_bias: (HIDDEN_COUNT,).
        output: (HIDDEN_COUNT, 2), output_bias: (2,); arousal, then valence.
        mean, spread: (2,), of the outputs over the training's windows.
    """

    hidden: F32
    hidden_bias: F32
    output: F32
    output_bias: F32
    mean: F32
    spread: F32

    def read(self, windows: F32) -> F32:
        """Features (windows, FEATURE_COUNT) → standardised arousal and valence, (windows, 2)."""
        active = 1.0 / (1.0 + np.exp(-np.clip(windows @ self.hidden + self.hidden_bias, -60.0, 60.0)))
        return np.asarray((active @ self.output + self.output_bias - self.mean) / self.spread, np.float32)


def read_published(model: Path, statistics: Path | None = None) -> Perceptron:
    """Reads the authors' files; nothing in them is executed.

    Args:
        model: `mlp.model`.
        statistics: `space_statistics.pickle`; None takes the outputs as they are.

    Raises:
        PublishedFileError: one of them is not what it should be.
    """
    import torch

    try:
        tensors = torch.load(model, map_location="cpu", weights_only=True)
        arrays = {name: np.asarray(tensors[name].numpy(), np.float32) for name in SHAPES}
    except OSError as error:
        raise PublishedFileError(f"{model} cannot be read ({error}); name the authors' mlp.model") from error
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        raise PublishedFileError(f"{model} is no state dict of tensors {', '.join(SHAPES)} ({error})") from error
    for name, shape in SHAPES.items():
        if arrays[name].shape != shape:
            raise PublishedFileError(f"{model}: {name} is {arrays[name].shape}; the original's is {shape}")
    mean, spread = _read_statistics(statistics) if statistics else (np.zeros(2, np.float32), np.ones(2, np.float32))
    hidden, output = (np.ascontiguousarray(arrays[f"{name}.weight"].T) for name in ("fc1", "fc2"))
    return Perceptron(hidden, arrays["fc1.bias"], output, arrays["fc2.bias"], mean, spread)


def _read_statistics(path: Path) -> tuple[F32, F32]:
    """Takes the two arrays of two numbers out of two pickles in a row by parsing them, without unpickling."""
    found = []
    try:
        with path.open("rb") as file:
            for _ in range(2):
                blobs = [value for _, value, _ in pickletools.genops(file) if isinstance(value, (bytes, bytearray))]
                (blob,) = (blob for blob in blobs if len(blob) in ITEM_TYPES)
                found.append(np.frombuffer(bytes(blob), ITEM_TYPES[len(blob)]).astype(np.float32))
    except (OSError, ValueError) as error:
        raise PublishedFileError(f"{path} is not two pickled arrays of two numbers ({error})") from error
    mean, spread = found
    if not (np.isfinite(mean).all() and np.isfinite(spread).all() and (spread > 0).all()):
        raise PublishedFileError(f"{path}: mean is {mean}, deviation {spread}; they are finite, deviations positive")
    return mean, spread
