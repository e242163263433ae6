"""The embedded engine: a decoder of rated anchor photos, whose latents morph into each other."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt

from services.generator.concepts import concepts_from_json
from services.generator.engines.engine import Session
from services.generator.generate import latents_of

__all__ = ["Morph", "packed"]

F32 = npt.NDArray[np.float32]


class Morph:
    """Paints from one self-contained ONNX file: its graph makes pictures of latents, its metadata holds the rest."""

    def __init__(
        self, name: str, digest: str, session: Session, *, exporter: str = "services.generator.export"
    ) -> None:
        self.name, self.digest, self._session = name, digest, session
        facts = session.get_modelmeta().custom_metadata_map
        missing = [key for key in ("concepts", "latents", "basis") if key not in facts]
        if missing:
            raise ValueError(f"engine {name!r} has no {missing[0]} in its file; write it with {exporter}")
        self.concepts = concepts_from_json(facts["concepts"])
        self._table = _unpacked(facts["latents"]).reshape(len(self.concepts), -1)
        self._basis = _unpacked(facts["basis"]).reshape(-1, self._table.shape[1])
        self.noise_size = len(self._basis)
        _, height, width, _ = session.get_outputs()[0].shape
        self.native_size_px = (int(width), int(height))

    def paint(self, class_weights: F32, noise: F32, truncation: F32) -> npt.NDArray[np.uint8]:
        """Paints a batch; see `Engine`."""
        latents = latents_of(class_weights, noise, truncation, self._table, self._basis)
        pictures: npt.NDArray[np.uint8] = self._session.run(None, {"latent": latents})[0]
        return pictures


def packed(values: F32) -> str:
    """Little-endian 32-bit floats as base64: metadata holds text only."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")


def _unpacked(text: str) -> F32:
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)
