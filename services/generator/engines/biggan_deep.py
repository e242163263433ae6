"""BigGAN-deep: classes of ImageNet, at 128, 256 or 512 px, from weights that the user brings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.generator.engines.engine import Session
from services.generator.engines.morph import Morph
from services.generator.generate import latents_of

__all__ = ["BigGanDeep"]

F32 = npt.NDArray[np.float32]


class BigGanDeep(Morph):
    """Paints from one self-contained ONNX file, of the form of the embedded engine's and one input more.

    A latent is truncation × noise, then the mixture of the classes' embeddings. The graph keeps noise within two
    standard deviations and takes the batch statistics of the row's truncation.
    """

    def __init__(self, name: str, digest: str, session: Session) -> None:
        super().__init__(name, digest, session, exporter="services.generator.biggan_deep.export")

    def paint(self, class_weights: F32, noise: F32, truncation: F32) -> npt.NDArray[np.uint8]:
        """Paints a batch; see `Engine`."""
        latents = latents_of(class_weights, noise, truncation, self._table, self._basis)
        fed = {"latent": latents, "truncation": truncation}
        pictures: npt.NDArray[np.uint8] = self._session.run(None, fed)[0]
        return pictures
