"""Which frames of a story are painted, and between which of them every other frame lies."""

from fractions import Fraction
from math import floor

__all__ = ["choose_stride", "find_neighbours"]

ROUNDING = 1e-6  # of rates that came as floats of the contract


def choose_stride(rate: Fraction, paint_rate: float) -> int:
    """Number of frames from one painted picture to the next, so that no fewer are painted than wanted.

    Args:
        rate: frames a second of the story, > 0.
        paint_rate: pictures a second that are wanted, >= 0; 0 is as many as frames.

    Returns:
        >= 1; at 24 frames a second 2 for 12 pictures, 3 for 8; at 30 2 for 12. Every painted picture is a frame.
    """
    return max(1, floor(float(rate) / paint_rate + ROUNDING)) if paint_rate > 0 else 1


def find_neighbours(seq: int, stride: int) -> tuple[int, int, float]:
    """The painted frames around frame number `seq`, and its share of the way from the first to the second, (0, 1].

    Both are the frame itself, and the share is 1, where it is painted.
    """
    place = seq % stride
    if not place:
        return seq, seq, 1.0
    return seq - place, seq - place + stride, place / stride
