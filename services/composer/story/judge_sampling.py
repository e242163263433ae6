"""Chooses the frames that are judged, encodes them for the judge, and compares judgements with targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from services.composer.story.agreement import Agreement, RunningAgreement
from services.composer.story.frame import FrameInfo

__all__ = ["Judgement", "JudgeSampler", "agreements", "encode_excerpt"]

SIDE_PX = 256  # the judge gets the centre square at this size
QUALITY = 95  # of its JPEG
FINEST = 1000  # largest denominator of the time between judgements, seconds


@dataclass(frozen=True)
class Judgement:
    """The judge's reading of one frame: achieved is (arousal, valence) in [-1, 1]."""

    info: FrameInfo
    achieved: tuple[float, float]


class JudgeSampler:
    """Chooses frames at even times, by their numbers alone, so that a resumed story chooses the same ones.

    Args:
        every_s: time between judgements; 0 chooses none.
        rate: frames per second.
    """

    def __init__(self, every_s: float, rate: Fraction) -> None:
        self._step = Fraction(every_s).limit_denominator(FINEST) * rate

    def selects(self, seq: int) -> bool:
        """Whether a frame is the first at or after a multiple of the time between judgements."""
        step, parts = self._step.numerator, self._step.denominator  # integers: called for each frame
        return step > 0 and seq * parts // step * step > (seq - 1) * parts


def encode_excerpt(picture: NDArray[np.uint8]) -> bytes:
    """Encodes the centre square of a picture (height, width, 3) as a small JPEG for the judge."""
    image = Image.fromarray(picture)
    if image.size != (SIDE_PX, SIDE_PX):
        image = ImageOps.fit(image, (SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    out = BytesIO()
    image.save(out, "JPEG", quality=QUALITY, subsampling="4:4:4")
    return out.getvalue()


def agreements(judgements: Sequence[Judgement]) -> tuple[Agreement, Agreement]:
    """Agreement of judgements with targets: (arousal, valence)."""
    running = (RunningAgreement(), RunningAgreement())
    for judgement in judgements:
        for axis, one in enumerate(running):
            one.add(judgement.info.target[axis], judgement.achieved[axis])
    return running[0].result(), running[1].result()
