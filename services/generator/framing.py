"""Crops a picture to a shape with its subject kept."""

from PIL import Image

__all__ = ["choose_crop", "crop_picture"]


def choose_crop(
    size_px: tuple[int, int], shape_px: tuple[int, int], focus: tuple[float, float] = (0.5, 0.5)
) -> tuple[float, float, float, float]:
    """The largest part of a picture that has a shape, with the subject as near to its middle as the borders allow.

    Args:
        size_px: width, height of the picture.
        shape_px: width, height; only their ratio counts.
        focus: where the subject is, each from 0 (left, top) to 1.

    Returns:
        left, top, right, bottom, px.
    """
    width, height = size_px
    scale = min(width / shape_px[0], height / shape_px[1])
    wide, high = shape_px[0] * scale, shape_px[1] * scale
    left = min(max(focus[0] * width - wide / 2, 0.0), width - wide)
    top = min(max(focus[1] * height - high / 2, 0.0), height - high)
    return left, top, left + wide, top + high


def crop_picture(
    picture: Image.Image, size_px: tuple[int, int], focus: tuple[float, float] = (0.5, 0.5)
) -> Image.Image:
    """Crops to a shape around the subject, and scales to `size_px` (width, height); see `choose_crop`."""
    box = choose_crop(picture.size, size_px, focus)
    return picture.resize(size_px, Image.Resampling.LANCZOS, box=box)
