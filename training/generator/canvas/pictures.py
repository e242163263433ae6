"""Pictures as an engine learns and shows them: read, cropped around their subjects and scaled."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.generator.canvas.codes import NATIVE_SIZE_PX
from training.generator.canvas.framing import choose_crop, crop_picture
from training.generator.pictures import Picture

__all__ = ["MIN_PICTURES", "find_focus", "load_pictures"]

MIN_PICTURES = 3  # of an engine: its graph compares the three largest weights


def load_pictures(
    folder: Path, listed: Sequence[Picture], size_px: tuple[int, int] = NATIVE_SIZE_PX
) -> NDArray[np.uint8]:
    """Reads pictures, each cropped around its subject and scaled: (N, H, W, 3), RGB; `size_px` is width, height."""
    made = np.empty((len(listed), size_px[1], size_px[0], 3), np.uint8)
    for place, picture in enumerate(listed):
        with Image.open(folder / picture.file) as image:
            shown = picture.window
            window = (
                *(shown.left * image.width, shown.top * image.height),
                *(shown.width * image.width, shown.height * image.height),
            )
            made[place] = np.asarray(crop_picture(image.convert("RGB"), size_px, picture.focus, window))
    return made


def find_focus(picture: Picture, folder: Path) -> tuple[float, float]:
    """Where the subject is in a picture as `load_pictures` crops it: down and across, 0 to 1."""
    with Image.open(folder / picture.file) as image:
        width, height = picture.window.width * image.width, picture.window.height * image.height
    left, top, right, bottom = choose_crop((width, height), NATIVE_SIZE_PX, picture.focus)
    return (picture.focus[1] * height - top) / (bottom - top), (picture.focus[0] * width - left) / (right - left)
