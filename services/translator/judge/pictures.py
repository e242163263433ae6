"""Opens pictures of strangers for the judge: what is no picture, or would take much work, is refused before it does."""

import re
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from services.translator.judge.model import SIZE_PX, crop_square

__all__ = ["MAX_BYTES", "MAX_PIXELS", "PictureError", "count_scans", "open_picture"]

MAX_BYTES, MAX_PIXELS = 2**20, 2**22  # of one picture
MAX_SCANS = 100  # of a JPEG; progressive ones have some ten
MAX_SCANNED = 12 * MAX_PIXELS  # pixels times scans: each scan may visit all pixels
MAX_CHUNKS = 10_000  # of a PNG; a megabyte holds some hundred, or 80,000 empty ones
PngImagePlugin.MAX_TEXT_MEMORY = 2**20  # bytes of compressed text that Pillow unpacks; nobody reads it
FORMATS = ("JPEG", "PNG")  # the only decoders of Pillow that see the bytes
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
PNG_START, PNG_FRAME_BYTES = b"\x89PNG\r\n\x1a\n", 12  # of a chunk: its length, name and checksum
JPEG_START, PARAMETERLESS = b"\xff\xd8", frozenset({0x01, *range(0xD0, 0xD9)})
SCAN, END = 0xDA, 0xD9
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # in the data of a scan, where 0xFF 0x00 is a byte


class PictureError(Exception):
    """A picture cannot be opened.

    Args:
        kind: what is wrong with it.
        fault: what was found, for example "has 5000 x 4000 pixels".
    """

    def __init__(self, kind: Literal["unreadable", "too_large"], fault: str) -> None:
        super().__init__(fault)
        self.kind, self.fault = kind, fault


def open_picture(image: bytes) -> NDArray[np.uint8]:
    """Opens a picture for the judge: its centre square, (SIZE_PX, SIZE_PX, 3), 8-bit RGB.

    Size and scans are checked before any pixel is decoded, and a large JPEG is decoded at a fraction of its size.

    Args:
        image: JPEG or PNG, at most MAX_BYTES and MAX_PIXELS; a JPEG with at most MAX_SCANS and MAX_SCANNED.

    Raises:
        PictureError: it is neither, or too large.
    """
    if len(image) > MAX_BYTES:
        raise PictureError("too_large", f"has {len(image)} bytes")
    if count_chunks(image) > MAX_CHUNKS:
        raise PictureError("too_large", f"has more than {MAX_CHUNKS} chunks")
    try:
        with Image.open(BytesIO(image), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise PictureError("too_large", f"has {width} x {height} pixels")
            scans = count_scans(image)
            if scans > MAX_SCANS or scans * width * height > MAX_SCANNED:
                found = f"{scans} scans" if scans <= MAX_SCANS else f"more than {MAX_SCANS} scans"
                raise PictureError("too_large", f"has {found} of {width} x {height} pixels")
            picture.draft("RGB", (2 * SIZE_PX, 2 * SIZE_PX))
            return crop_square(np.asarray(picture.convert("RGB")))
    except BOMBS:
        raise PictureError("too_large", "has far too many pixels") from None
    except UnidentifiedImageError:
        raise PictureError("unreadable", "neither JPEG nor PNG") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for broken files
        raise PictureError("unreadable", str(error) or type(error).__name__) from error


def count_chunks(image: bytes) -> int:
    """Chunks of a PNG, at most MAX_CHUNKS + 1; 0 for what is none."""
    if not image.startswith(PNG_START):
        return 0
    count, at = 0, len(PNG_START)
    while at < len(image) and count <= MAX_CHUNKS:
        count += 1
        at += PNG_FRAME_BYTES + int.from_bytes(image[at : at + 4], "big")
    return count


def count_scans(image: bytes) -> int:
    """How often a decoder goes through the pixels of a JPEG, at most MAX_SCANS + 1; 0 for what is no JPEG."""
    if not image.startswith(JPEG_START):
        return 0
    scans, at = 0, len(JPEG_START)
    while scans <= MAX_SCANS and (found := MARKER.search(image, at)) is not None:
        code, at = image[found.start() + 1], found.end()
        if code == END:
            break
        if code in PARAMETERLESS:
            continue
        at += int.from_bytes(image[at : at + 2], "big")
        scans += code == SCAN
    return scans
