"""Paints pictures in blends of styles: one network, whose normalisations are mixed by the style weights.

Source: conditional instance normalisation (Dumoulin, Shlens & Kudlur 2017; from any picture: Ghiasi et al. 2017).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.generator.concepts import Concept, concepts_from_json
from services.generator.session import Session

__all__ = ["PAINT_RATE", "Stylist"]

PAINT_RATE = 8.0  # pictures a second of a styled story: styling one takes as long as painting three without


class Stylist:
    """Styles pictures with a network written by training.generator.styles.rebuild.

    Args:
        digest: of everything that decides a styled pixel.
        session: the network.
        styles: names and sentiments; None takes those in the network's metadata.
        vectors: (S, 100), descriptions of the styles, for the network of any style; see style_pictures.py.
        shares: (S,) or (1,), how much of each style is shown at weight 1, unless the network holds that itself.
    """

    def __init__(
        self,
        digest: str,
        session: Session,
        styles: Sequence[Concept] | None = None,
        vectors: npt.NDArray[np.float32] | None = None,
        shares: Sequence[float] = (1.0,),
    ) -> None:
        self.digest, self._session = digest, session
        self._vectors: dict[str, npt.NDArray[Any]] = {} if vectors is None else {"vectors": vectors}
        self._shares = np.array(shares, np.float32)
        facts = session.get_modelmeta().custom_metadata_map
        if styles is None and "styles" not in facts:
            raise ValueError("the style network names no styles; write it with training.generator.styles.rebuild")
        self.styles = concepts_from_json(facts["styles"]) if styles is None else tuple(styles)

    def stylize(self, picture: npt.NDArray[np.uint8], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Styles one picture.

        Args:
            picture: (H, W, 3), RGB; sides are multiples of 4.
            weights: (S,), >= 0; a sum below 1 styles the picture by that share only, zeros return it unchanged.

        Returns:
            (H, W, 3), RGB.
        """
        if not weights.any():
            return picture
        given = self._vectors | {"picture": picture[None], "weights": weights * self._shares}
        styled: npt.NDArray[np.uint8] = self._session.run(None, given)[0][0]
        return styled
