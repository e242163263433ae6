"""Opens pictures from callers; what is no picture, or too large, is refused before much is decoded."""

from __future__ import annotations

from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from services.translator.judge.model import SIZE_PX, crop_square

__all__ = ["MAX_BYTES", "MAX_PIXELS", "PictureError", "open_picture"]

MAX_BYTES, MAX_PIXELS = 2**20, 2**22
FORMATS = ("JPEG", "PNG")  # the only decoders of Pillow that see the bytes
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


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

    The size is checked before any pixel is decoded, and a large JPEG is decoded at a fraction of its size.

    Args:
        image: JPEG or PNG, at most MAX_BYTES and MAX_PIXELS.

    Raises:
        PictureError: it is neither, or too large.
    """
    if len(image) > MAX_BYTES:
        raise PictureError("too_large", f"has {len(image)} bytes")
    try:
        with Image.open(BytesIO(image), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise PictureError("too_large", f"has {width} x {height} pixels")
            picture.draft("RGB", (2 * SIZE_PX, 2 * SIZE_PX))
            return crop_square(np.asarray(picture.convert("RGB")))
    except BOMBS:
        raise PictureError("too_large", "has far too many pixels") from None
    except UnidentifiedImageError:
        raise PictureError("unreadable", "neither JPEG nor PNG") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for broken files
        raise PictureError("unreadable", str(error) or type(error).__name__) from error
