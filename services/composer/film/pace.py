"""Which frames of a story are painted, and between which of them every other frame lies."""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

__all__ = ["Pace", "find_neighbours"]

REST_RATE = 3.0  # pictures painted a second while one is shown and only noise moves it
ROUNDING = 1e-6  # of rates that came as floats of the contract


@dataclass(frozen=True)
class Pace:
    """How far apart painted pictures are, in frames.

    Attributes:
        stride: while a picture turns into another.
        rest: while one picture is shown, >= stride and a multiple of it. Frames are told apart in blocks of so many.
    """

    stride: int
    rest: int

    @classmethod
    def choose(cls, rate: Fraction, paint_rate: float, *, rests: bool) -> "Pace":
        """Chooses strides, so that no fewer pictures are painted than wanted.

        Args:
            rate: frames a second of the story, > 0.
            paint_rate: pictures a second that are wanted, >= 0; 0 is as many as frames.
            rests: paint REST_RATE, if that is less, while one picture is shown.

        Returns:
            Strides of at least 1: at 24 frames a second 2 for 12 pictures, 3 for 8; at 30 2 for 12. Every painted
            picture is a frame.
        """
        if paint_rate <= 0:
            return cls(1, 1)
        stride = max(1, floor(float(rate) / paint_rate + ROUNDING))
        return cls(stride, stride * max(1, floor(float(rate) / REST_RATE / stride + ROUNDING)) if rests else stride)

    def find_block(self, seq: int) -> tuple[int, int]:
        """The painted frames before and at the end of the block that frame number `seq` lies in: (first, last]."""
        last = -(-seq // self.rest) * self.rest
        return max(0, last - self.rest), last


def find_neighbours(seq: int, stride: int) -> tuple[int, int, float]:
    """The painted frames around frame number `seq`, and its share of the way from the first to the second, (0, 1].

    Both are the frame itself, and the share is 1, where it is painted.
    """
    place = seq % stride
    if not place:
        return seq, seq, 1.0
    return seq - place, seq - place + stride, place / stride
