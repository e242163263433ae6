"""What every engine offers, and what it is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from services.generator.concepts import Concept

__all__ = ["Engine", "Session"]


class Session(Protocol):
    """The part of `onnxruntime.InferenceSession` that networks use here."""

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        """Runs the graph once; raises the runtime's own error when memory ends."""

    def get_outputs(self) -> Sequence[Any]:
        """The outputs, each with a `shape`: numbers, or names where it varies."""

    def get_modelmeta(self) -> Any:
        """The file's description; `custom_metadata_map` holds texts by name."""


class Engine(Protocol):
    """Paints pictures from points of its space; pure: equal batches give equal pictures, to the last bit.

    A row may round otherwise in another batch; who needs it to be the same paints in runs of one length.
    """

    name: str
    digest: str  # lower-case hex SHA-256 of all that decides a pixel or a concept
    native_size_px: tuple[int, int]  # width, height
    noise_size: int  # Z
    concepts: tuple[Concept, ...]  # K, in the order of class weights

    def paint(
        self,
        class_weights: npt.NDArray[np.float32],
        noise: npt.NDArray[np.float32],
        truncation: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.uint8]:
        """Paints a batch.

        Args:
            class_weights: (N, K), rows on the simplex.
            noise: (N, Z), of unit variance.
            truncation: (N,), in [0, 1].

        Returns:
            (N, H, W, 3), RGB, of the native size.
        """
