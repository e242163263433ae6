"""Which frames the judge of stories reads, what it is shown of them, and how well its readings follow the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from services.composer.agreement import Agreement, RunningAgreement
from services.composer.story import Shown

__all__ = ["Reading", "Sampling", "agreements", "excerpt"]

SIDE_PX = 256  # the judge looks at the centre square at this size
QUALITY = 95
FINEST = 1000  # denominator of the time between readings


@dataclass(frozen=True)
class Reading:
    """What the judge read off a frame: (arousal, valence) in [-1, 1]."""

    shown: Shown
    achieved: tuple[float, float]


class Sampling:
    """Chooses frames at even times, by their numbers alone: a story taken up again has the same ones read.

    Args:
        every_s: time between readings; 0 chooses none.
        rate: frames a second.
    """

    def __init__(self, every_s: float, rate: Fraction) -> None:
        self.step = Fraction(every_s).limit_denominator(FINEST) * rate

    def takes(self, seq: int) -> bool:
        """Whether a frame is the first at or after a multiple of the time between readings."""
        step, parts = self.step.numerator, self.step.denominator  # in whole numbers: asked of every frame
        return step > 0 and seq * parts // step * step > (seq - 1) * parts


def excerpt(picture: NDArray[np.uint8]) -> bytes:
    """What the judge sees of a picture (height, width, 3), as a small JPEG."""
    image = Image.fromarray(picture)
    if image.size != (SIDE_PX, SIDE_PX):
        image = ImageOps.fit(image, (SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    out = BytesIO()
    image.save(out, "JPEG", quality=QUALITY, subsampling="4:4:4")
    return out.getvalue()


def agreements(readings: Sequence[Reading]) -> tuple[Agreement, Agreement]:
    """Targets against readings: arousal, valence."""
    running = (RunningAgreement(), RunningAgreement())
    for reading in readings:
        for axis, one in enumerate(running):
            one.add(reading.shown.target[axis], reading.achieved[axis])
    return running[0].result(), running[1].result()
