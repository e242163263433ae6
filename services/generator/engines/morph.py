"""The embedded engine: a decoder of rated anchor photos, which morph into each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.generator.concepts import concepts_from_json
from services.generator.engines.engine import Session

__all__ = ["Morph"]

F32 = npt.NDArray[np.float32]


class Morph:
    """Paints from one self-contained ONNX file: its graph makes pictures of class weights and noise."""

    def __init__(
        self, name: str, digest: str, session: Session, *, exporter: str = "training.generator.export"
    ) -> None:
        self.name, self.digest, self._session = name, digest, session
        facts = session.get_modelmeta().custom_metadata_map
        missing = [key for key in ("concepts", "noise_size") if key not in facts]
        if missing:
            raise ValueError(f"engine {name!r} has no {missing[0]} in its file; write it with {exporter}")
        self.concepts = concepts_from_json(facts["concepts"])
        self.noise_size = int(facts["noise_size"])
        _, height, width, _ = session.get_outputs()[0].shape
        self.native_size_px = (int(width), int(height))

    def paint(self, class_weights: F32, noise: F32, truncation: F32) -> npt.NDArray[np.uint8]:
        """Paints a batch; see `Engine`."""
        feed = {"class_weights": class_weights, "noise": noise, "truncation": truncation}
        pictures: npt.NDArray[np.uint8] = self._session.run(None, feed)[0]
        return pictures
