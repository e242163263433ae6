"""BigGAN-deep: classes of ImageNet, at 128, 256 or 512 px, from weights that the user brings."""

from __future__ import annotations

from services.generator.engines.engine import Session
from services.generator.engines.morph import Morph

__all__ = ["BigGanDeep"]


class BigGanDeep(Morph):
    """Paints from one self-contained ONNX file, of the form of the embedded engine's.

    The graph mixes the classes' embeddings, keeps noise within two standard deviations before it scales it, and takes
    the batch statistics of the row's truncation.
    """

    def __init__(self, name: str, digest: str, session: Session) -> None:
        super().__init__(name, digest, session, exporter="training.generator.biggan_deep.export")
