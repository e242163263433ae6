"""Runs the beat networks along a stream: frames of the spectrum in, shares of beat and downbeat out."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.rhythm.spectrum import SPECTRUM_SIZE

__all__ = ["BeatActivation", "BeatNetwork"]

F32 = NDArray[np.float32]


class BeatNetwork(Protocol):
    """The part of `onnxruntime.InferenceSession` that is used here; its graph: training/rhythm/export.py."""

    def run(self, output_names: list[str], inputs: dict[str, F32]) -> list[F32]:
        """Computes the named outputs."""
        ...

    def get_inputs(self) -> list[Any]:
        """Describes the inputs, each with name and shape."""
        ...


class BeatActivation:
    """Reads a stream in parts of any size, each frame once."""

    def __init__(self, network: BeatNetwork) -> None:
        self._network = network
        shapes = {node.name: node.shape for node in network.get_inputs()}
        self._state = np.zeros(shapes["state"], np.float32)

    def push(self, frames: F32) -> F32:
        """Takes the next frames, (n, SPECTRUM_SIZE); returns (n, 2): shares of beats and of downbeats, [0, 1]."""
        if not len(frames):
            return np.empty((0, 2), np.float32)
        assert frames.shape[1] == SPECTRUM_SIZE
        shares, self._state = self._network.run(["shares", "next_state"], {"spectrum": frames, "state": self._state})
        return np.asarray(shares[:, :2])
