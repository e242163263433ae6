"""Reads one picture as an engine shows it: upright, without transparency, cropped to its subject and scaled.

Memory is bounded by MAX_PIXELS, whatever the file says of itself; a large JPEG is decoded at a fraction of its size.
"""

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter, UnidentifiedImageError

from training.generator.canvas.codes import NATIVE_SIZE_PX
from training.generator.canvas.framing import choose_crop, crop_picture

__all__ = ["MAX_PIXELS", "MIN_SIDE_PX", "ReadPicture", "UnusablePicture", "find_focus", "read_picture"]

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

MIN_SIDE_PX = 64  # of the short side: less is an icon
MAX_PIXELS = 64_000_000  # of a file: up to 800 MB for a moment, where it is no JPEG
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # no other decoder of Pillow sees a file
DRAFT_PX = (2 * NATIVE_SIZE_PX[0], 2 * NATIVE_SIZE_PX[0])  # a JPEG is decoded at this size at the least
GROUND = (128, 128, 128, 255)  # behind what is transparent
MAX_16_BITS = 65535.0
ORIENTATION = 0x0112  # tag of EXIF: how the camera was held
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
# What Pillow's decoders raise for broken files.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, ArithmeticError, RuntimeError)
BROKEN_INSIDE = (*BROKEN, struct.error, zlib.error, AttributeError, MemoryError)
WIDE, TALL = (16, 9), (9, 16)  # shapes whose crops leave much out
SMALL_PX = 64  # long side at which the subject is looked for
SURROUND = 6  # radius of the surroundings that a place stands out from, at that size
PULL = 0.25  # share of all contrast that a crop at the border must gain over the middle


class UnusablePicture(Exception):
    """A picture cannot be used; the message says why, to be read after its name."""


@dataclass(frozen=True)
class ReadPicture:
    """A picture as an engine shows it."""

    pixels: U8  # (512, 640, 3), RGB
    focus: tuple[float, float]  # around which it was cropped, each from 0 (left, top) to 1
    subject: tuple[float, float]  # where its subject is in the pixels, down and across, 0 to 1: other shapes show that
    enlarged: float  # how many times larger it is shown than it is; at most 1 where it is large enough


def read_picture(path: Path) -> ReadPicture:
    """Reads a picture: the first one of a file that holds several.

    Raises:
        UnusablePicture: it is broken, too small or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF and the like
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as opened:
                size = _check_size(*opened.size)
                turn = _read_turn(opened)
                opened.draft("RGB", DRAFT_PX)
                image = _to_rgb(opened)
    except BOMBS:
        raise UnusablePicture(f"has more than {MAX_PIXELS // 10**6} million pixels; make it smaller") from None
    except UnidentifiedImageError:
        raise UnusablePicture("is no picture that can be read here; save it as JPEG or PNG") from None
    except BROKEN_INSIDE as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnusablePicture(f"is broken ({said[:120]}); save it anew") from None
    upright = image if turn is None else image.transpose(turn)
    size = size if upright.size == image.size else size[::-1]
    focus = find_focus(upright)
    left, _, right, _ = choose_crop(size, NATIVE_SIZE_PX)
    cropped = crop_picture(upright, NATIVE_SIZE_PX, focus)
    subject = find_focus(cropped, WIDE)[1], find_focus(cropped, TALL)[0]
    return ReadPicture(np.asarray(cropped), focus, subject, NATIVE_SIZE_PX[0] / (right - left))


def find_focus(image: Image.Image, shape_px: tuple[int, int] = NATIVE_SIZE_PX) -> tuple[float, float]:
    """Where the subject of a picture is, along the side that is cropped: where places stand out from surroundings.

    The middle, unless a crop elsewhere holds clearly more contrast.

    Args:
        image: RGB.
        shape_px: width, height of the crop; only their ratio counts.

    Returns:
        The middle of the best crop, each from 0 (left, top) to 1.
    """
    scale = SMALL_PX / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BOX)
    around = small.filter(ImageFilter.BoxBlur(SURROUND))
    contrast = np.abs(np.asarray(small, np.float32) - np.asarray(around, np.float32)).sum(axis=2)
    left, top, right, bottom = choose_crop(size, shape_px)
    across = _slide(contrast.sum(axis=0), right - left)
    return across, _slide(contrast.sum(axis=1), bottom - top)


def _slide(profile: F32, extent: float) -> float:
    """The middle, as a share, of the window of this extent that holds most of a profile."""
    count, window = len(profile), max(1, round(extent))
    total = float(profile.sum())
    if window >= count or total <= 0:
        return 0.5
    sums = np.concatenate([[0.0], np.cumsum(profile, dtype=np.float64)])
    held = (sums[window:] - sums[:-window]) / total
    middles = (np.arange(len(held)) + window / 2) / count
    reach = (1 - window / count) / 2  # of the middle, to either side
    return float(middles[np.argmax(held - PULL * np.abs(middles - 0.5) / reach)])


def _check_size(width: int, height: int) -> tuple[int, int]:
    if width * height > MAX_PIXELS:
        raise UnusablePicture(
            f"has {width} x {height} pixels; at most {MAX_PIXELS // 10**6} million are read, so make it smaller"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise UnusablePicture(f"has {width} x {height} pixels; the short side must have {MIN_SIDE_PX} or more")
    return width, height


def _read_turn(image: Image.Image) -> Image.Transpose | None:
    """How a picture is turned upright; None where it is, or where its EXIF is broken."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except BROKEN_INSIDE:
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of a picture in any mode, over a neutral ground, made smaller where it is much too large."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_scale_values(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        clear = _shrink(image if image.mode == "RGBA" else image.convert("RGBA"))
        return Image.alpha_composite(Image.new("RGBA", clear.size, GROUND), clear).convert("RGB")
    return _shrink(image if image.mode == "RGB" else image.convert("RGB"))


def _shrink(image: Image.Image) -> Image.Image:
    """Makes a picture smaller by a whole factor, as far as both sides keep the size of a draft."""
    image.load()
    factor = min(image.width // DRAFT_PX[0], image.height // DRAFT_PX[1])
    return image.reduce(factor) if factor > 1 else image.copy()


def _scale_values(values: npt.NDArray[np.generic]) -> U8:
    """Grey values of more than 8 bits → 0 to 255: 16 bits from black to white, others from least to most.

    Args:
        values: (H, W).

    Returns:
        (H, W), or means over blocks where that is much too large.
    """
    factor = max(1, min(values.shape[1] // DRAFT_PX[0], values.shape[0] // DRAFT_PX[1]))
    rows, columns = (extent // factor for extent in values.shape)
    blocks = values[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    grey = np.nan_to_num(blocks.mean(axis=(1, 3), dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(grey.min()), float(grey.max())
    if values.dtype.kind in "iu" and low >= 0 and high <= MAX_16_BITS:
        low, high = 0.0, MAX_16_BITS
    grey -= low
    grey *= 255 / max(high - low, 1e-6)
    scaled: U8 = np.rint(grey, out=grey).astype(np.uint8)
    return scaled
