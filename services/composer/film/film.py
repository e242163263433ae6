"""Makes the frames of a story from its painted pictures: sized, blended, seen by the camera, free of flashes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.composer.film.camera import Pose
from services.composer.film.warp import blend_pictures, prepare_picture, warp_picture
from services.composer.story.flashes import FlashGuard
from services.composer.story.plan import Size

__all__ = ["Film", "Shot"]

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Shot:
    """How one frame is made: its share of the way between two painted pictures, (0, 1], and where the camera is."""

    share: float
    pose: Pose


class Film:
    """Makes frames in order. Blocks for some milliseconds a frame, so it runs in a thread of its own.

    Args:
        guard: of the story; it sees what is shown.
        size: of every frame.
    """

    def __init__(self, guard: FlashGuard, size: Size) -> None:
        self._guard, self._size = guard, size
        self._left: U8 | None = None
        self._right: U8 | None = None

    @property
    def flashes_per_second(self) -> int:
        """Most general flashes in any second so far."""
        return self._guard.worst

    def show_next(self, picture: U8) -> None:
        """Takes the next painted picture, (h, w, 3) uint8; all of one size."""
        self._left = self._right
        self._right = prepare_picture(picture, self._size.width_px, self._size.height_px)

    def make_frames(self, shots: Sequence[Shot]) -> list[U8]:
        """The next frames after the picture before the present one, up to the present one.

        Args:
            shots: of the frames; before the second picture, only of the first itself.

        Returns:
            A frame for each shot, (H, W, 3) uint8.
        """
        assert self._right is not None
        right = self._right
        left = right if self._left is None else self._left
        seen = (warp_picture(blend_pictures(left, right, shot.share), shot.pose) for shot in shots)
        return [self._guard.filter_frame(frame) for frame in seen]
