"""What networks need of a runtime."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

__all__ = ["Session"]


class Session(Protocol):
    """The part of `onnxruntime.InferenceSession` that networks use here."""

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        """Runs the graph once; raises the runtime's own error if memory runs out."""

    def get_outputs(self) -> Sequence[Any]:
        """The outputs, each with a `shape`: numbers, or names for dimensions that vary."""

    def get_modelmeta(self) -> Any:
        """The file's description; `custom_metadata_map` holds texts by name."""
