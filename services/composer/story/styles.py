"""Chooses the style of a picture by its sentiment: the nearest one, with hysteresis, so that a style lasts.

Source: Passalis & Doropoulos (2021), section 3.4: one of three style pictures by the sign of valence.
Differs: any number of styles on the plane of arousal and valence; a style stays until another is clearly nearer and it
has been shown for a while; it changes together with the concept, over the same seconds.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["StyleChooser", "nearest_style"]

STYLE_STAY = 0.05  # another style must be nearer by this much on the sentiment plane to take over …
STYLE_HOLD_S = 6.0  # … and the present one must have been shown for so long


class StyleChooser:
    """Chooses the styles of one story, key by key.

    Args:
        styles: (S, 2), arousal and valence of each style.
    """

    def __init__(self, styles: NDArray[np.float64]) -> None:
        self._styles = styles
        self._present: int | None = None
        self._since_s = 0.0

    def choose(self, arousal: float, valence: float, time_s: float) -> int:
        """Index of the style for a sentiment in [-1, 1] that is shown from a time on; times must not decrease."""
        if self._present is not None and time_s - self._since_s < STYLE_HOLD_S:
            return self._present
        chosen = nearest_style(arousal, valence, self._styles, self._present)
        if chosen != self._present:
            self._present, self._since_s = chosen, time_s
        return chosen


def nearest_style(arousal: float, valence: float, styles: NDArray[np.float64], present: int | None) -> int:
    """Index of the style with the nearest sentiment; the present one stays unless another is nearer by STYLE_STAY.

    Args:
        arousal: arousal to be shown, [-1, 1].
        valence: valence to be shown, [-1, 1].
        styles: (S, 2), arousal and valence of each style.
        present: index of the style in use, or None.
    """
    distance = np.hypot(styles[:, 0] - arousal, styles[:, 1] - valence)
    best = int(distance.argmin())
    if present is not None and distance[present] - distance[best] < STYLE_STAY:
        return present
    return best
