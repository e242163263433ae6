"""Painting styles, blended: one network, whose normalisations are mixed by the style weights.

Source: conditional instance normalisation (Dumoulin, Shlens & Kudlur 2017).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.generator.concepts import concepts_from_json
from services.generator.engines.engine import Session

__all__ = ["Stylist"]


class Stylist:
    """Restyles pictures with the network that `rebuild_styles` writes; names and sentiments are in its metadata."""

    def __init__(self, digest: str, session: Session) -> None:
        self.digest, self._session = digest, session
        facts = session.get_modelmeta().custom_metadata_map
        if "styles" not in facts:
            raise ValueError("the style network names no styles; write it with services.generator.rebuild_styles")
        self.styles = concepts_from_json(facts["styles"])

    def stylize(self, picture: npt.NDArray[np.uint8], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Restyles one picture.

        Args:
            picture: (H, W, 3), RGB; sides are multiples of 4.
            weights: (S,), >= 0; what they lack to a sum of 1 stays unstyled, and zeros return the picture itself.

        Returns:
            (H, W, 3), RGB.
        """
        if not weights.any():
            return picture
        styled: npt.NDArray[np.uint8] = self._session.run(None, {"picture": picture[None], "weights": weights})[0][0]
        return styled
