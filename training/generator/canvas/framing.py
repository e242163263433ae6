"""Crops a picture to a shape with its subject kept."""

from PIL import Image

__all__ = ["choose_crop", "crop_picture"]


def choose_crop(
    size_px: tuple[float, float], shape_px: tuple[int, int], focus: tuple[float, float] = (0.5, 0.5)
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
    picture: Image.Image,
    size_px: tuple[int, int],
    focus: tuple[float, float] = (0.5, 0.5),
    window_px: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Crops to a shape around the subject, and scales.

    Args:
        picture: what is cropped.
        size_px: width, height of the result.
        focus: where the subject is in the window, each from 0 (left, top) to 1.
        window_px: left, top, width, height of the part that may be shown; None is all.
    """
    left, top, width, height = window_px or (0.0, 0.0, float(picture.width), float(picture.height))
    box = choose_crop((width, height), size_px, focus)
    placed = (box[0] + left, box[1] + top, min(box[2] + left, picture.width), min(box[3] + top, picture.height))
    return picture.resize(size_px, Image.Resampling.LANCZOS, box=placed)
