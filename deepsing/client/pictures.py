"""Frame rates and sizes as people write them."""

import math
import re
from fractions import Fraction

from deepsing.client.errors import Refused
from deepsing.v1.sentiment_pb2 import FrameRate, Size

__all__ = ["parse_frame_rate", "parse_size", "SHORT_SIDE_PX"]

SHORT_SIDE_PX = 256  # of a size given as a shape; the embedded engine's own side
MAX_DENOMINATOR = 1001  # of the contract's FrameRate; NTSC's
NTSC_TOLERANCE_HZ = 0.005  # 23.98, 29.97 and 59.94 are meant as n * 1000 / 1001
NTSC_BASES = (24, 30, 48, 60)
RATES = "1 to 60, for example 24, 23.976 or 30000/1001"
SIZES = "even sides from 64 to 1920, for example 512x288, or a shape such as 16:9"


def parse_frame_rate(wanted: str | float | Fraction) -> FrameRate:
    """Reads a frame rate; a rounded NTSC rate (23.976, 29.97, 59.94) becomes the exact one.

    Args:
        wanted: frames a second, 1 to 60: a number or text such as "24", "23.976" or "30000/1001".

    Raises:
        Refused: FRAME_RATE_OUT_OF_RANGE.
    """
    try:
        rate = Fraction(wanted if isinstance(wanted, Fraction) else str(wanted).strip())
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 1 <= rate <= 60:
        raise _build_refusal("frame rate", "FRAME_RATE_OUT_OF_RANGE", "frame_rate", str(wanted), RATES)
    for base in NTSC_BASES:
        exact = Fraction(base * 1000, MAX_DENOMINATOR)
        if abs(rate - exact) < NTSC_TOLERANCE_HZ:
            rate = exact
    rate = rate.limit_denominator(MAX_DENOMINATOR)
    return FrameRate(numerator=rate.numerator, denominator=rate.denominator)


def parse_size(wanted: str | tuple[int, int]) -> Size:
    """Reads a size of pictures.

    Args:
        wanted: (width, height) in pixels, "512x288", or a shape such as "16:9", whose short side becomes
            SHORT_SIDE_PX and whose long side the nearest even number (16:9 is 456 x 256).

    Raises:
        Refused: SIZE_OUT_OF_RANGE.
    """
    text = "x".join(map(str, wanted)) if isinstance(wanted, tuple) else wanted.strip().lower()
    pixels = re.fullmatch(r"(\d{1,5})\s*[x×]\s*(\d{1,5})", text)
    shape = re.fullmatch(r"(\d{1,3}(?:\.\d+)?):(\d{1,3}(?:\.\d+)?)", text)
    width, height = 0, 0
    if pixels:
        width, height = int(pixels[1]), int(pixels[2])
    elif shape and min(across := float(shape[1]), down := float(shape[2])) > 0:
        width, height = _side_px(across / min(across, down)), _side_px(down / min(across, down))
    if not all(64 <= side <= 1920 and side % 2 == 0 for side in (width, height)):
        raise _build_refusal("size", "SIZE_OUT_OF_RANGE", "size", text, SIZES)
    return Size(width_px=width, height_px=height)


def _side_px(ratio: float) -> int:
    return 2 * math.floor(SHORT_SIDE_PX * ratio / 2 + 0.5)


def _build_refusal(name: str, reason: str, field: str, value: str, choice: str) -> Refused:
    return Refused(
        f"{name} is {value!r}; choose {choice}", reason=reason, metadata={"field": field, "value": value[:200]}
    )
