"""Blends painted pictures, and shows the part of one that the camera sees. The only place that uses OpenCV."""

from math import cos, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from services.composer.film.camera import Pose

__all__ = ["blend_pictures", "find_view", "prepare_picture", "warp_picture"]

U8 = NDArray[np.uint8]

cv2.setNumThreads(1)  # stories share the processors, and no result depends on how many there are


def blend_pictures(left: U8, right: U8, share: float) -> U8:
    """The picture at a share of the way from one to another, (0, 1]: (H, W, C) uint8; 1 is `right` itself."""
    if share == 1 or left is right:
        return right
    return np.asarray(cv2.addWeighted(left, 1 - share, right, share, 0.0), np.uint8)


def find_view(pose: Pose, width: int, height: int) -> NDArray[np.float64]:
    """The affine map from places of what is shown to places of the picture, both in pixels: (2, 3).

    All that it shows lies inside the picture, whatever the pose: the middle keeps so far from each border, and a
    long picture turns less, because its ends move more.

    Args:
        pose: of the camera.
        width: of the picture and of what is shown, pixels.
        height: likewise.
    """
    span_x, span_y = width - 1, height - 1  # from the middle of the first pixel to that of the last
    slack = max(0.0, pose.zoom - 1)
    most = slack * min(width, height) / max(width, height) / 2  # then the corners stay inside
    turn = min(most, max(-most, pose.turn))
    across, up = cos(turn) / pose.zoom, sin(turn) / pose.zoom
    room_x = max(0.0, span_x - span_x * across - span_y * abs(up)) / 2
    room_y = max(0.0, span_y - span_y * across - span_x * abs(up)) / 2
    middle_x, middle_y = span_x / 2 + pose.x * room_x, span_y / 2 + pose.y * room_y
    return np.array(
        [
            [across, -up, middle_x - across * span_x / 2 + up * span_y / 2],
            [up, across, middle_y - up * span_x / 2 - across * span_y / 2],
        ]
    )


def prepare_picture(picture: U8, width: int, height: int) -> U8:
    """A painted picture (h, w, 3) in the size of the frames and with a fourth channel: (height, width, 4) uint8.

    Pixels of four bytes are warped nearly twice as fast as pixels of three.
    """
    if picture.shape[:2] != (height, width):
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA), np.uint8)


def warp_picture(picture: U8, pose: Pose) -> U8:
    """What the camera sees of a prepared picture (H, W, 4), in its size and without the fourth channel: (H, W, 3)."""
    if not pose.still:
        height, width = picture.shape[:2]
        picture = np.asarray(
            cv2.warpAffine(
                picture,
                find_view(pose, width, height),
                (width, height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,  # for places that rounding puts a thousandth of a pixel outside
            ),
            np.uint8,
        )
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGBA2RGB), np.uint8)
