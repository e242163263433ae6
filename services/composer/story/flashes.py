"""Keeps stories free of more than three general flashes a second, for people with photosensitive epilepsy.

Source: WCAG 2.2, success criterion 2.3.1 (a general flash is a pair of opposing changes of relative luminance of
10 % or more of the maximum, the darker below 0.80, over at least a quarter of the picture).
"""

from collections import deque
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["FlashCounter", "FlashGuard", "cell_luminance"]

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
GRID = 16  # flashes are detected on GRID x GRID cells of a picture
STEP, DARKER_BELOW, AREA = 0.10, 0.80, 0.25  # the criterion's numbers
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
OF_FOUR = np.tile(LUMINANCE, 4) / 16  # weights of four pixels beside each other, in a mean of sixteen
LINEAR = (np.arange(256, dtype=np.float32) / 255) ** np.float32(2.2)  # sRGB's curve, near enough for a 10 % step


def cell_luminance(picture: U8) -> F32:
    """Relative luminance of GRID x GRID cells, from 16 pixels of each: (H, W, 3) uint8 → (GRID * GRID,) in [0, 1]."""
    offsets = _sample_offsets(*picture.shape[:2])
    samples = picture.take(offsets, mode="wrap")  # all offsets are inside the picture; "wrap" is only faster
    by_row = LINEAR.take(samples, mode="wrap").reshape(-1, 4 * 3) @ OF_FOUR
    means: F32 = by_row.reshape(GRID, 4, GRID).sum(axis=1).ravel()
    return means


@lru_cache(8)
def _sample_offsets(height: int, width: int) -> NDArray[np.intp]:
    """Offsets in a picture's bytes of the sampled pixels, 4 x 4 of each cell, row by row: (GRID² * 48,)."""
    rows, columns = (np.arange(GRID * 4) * side // (GRID * 4) for side in (height, width))
    return ((rows[:, None] * width + columns)[..., None] * 3 + np.arange(3)).ravel()


class FlashCounter:
    """Counts general flashes over the last second, cell by cell.

    Args:
        frames_per_second: frame rate of the story.
        seq: number of the first frame that will be added.
    """

    def __init__(self, frames_per_second: float, seq: int = 0) -> None:
        self._span = max(1, round(frames_per_second))
        self.next_seq = seq
        self._extreme: F32 | None = None  # luminance at each cell's last extremum
        self._rising: F32 = np.zeros(GRID * GRID, np.float32)  # +1, -1, or 0 before the first change
        self._changes: deque[F32 | None] = deque()  # by frame of the last second: cells with an opposing change
        self._per_cell: F32 = np.zeros(GRID * GRID, np.float32)  # their sum
        self._flashes = self.worst = 0

    def add(self, light: F32) -> int:
        """Adds the next frame's cells; returns the flashes that a quarter of them made within the last second."""
        if self._extreme is None or self.next_seq % (2 * self._span) == 0:  # reset: see FlashGuard.warmup_start
            self._extreme, self._rising = light, np.zeros(GRID * GRID, np.float32)
        self.next_seq += 1
        change = light - self._extreme
        onward, size = change * self._rising > 0, np.abs(change)
        opposing = None
        if size.max() >= STEP:  # most frames have no such cell
            turned = (size >= STEP) & ~onward & (np.minimum(light, self._extreme) < DARKER_BELOW)
            self._rising = np.where(turned, np.sign(change), self._rising)
            onward |= turned
            opposing = turned.astype(np.float32) if turned.any() else None
        self._extreme = np.where(onward, light, self._extreme)
        self._count(opposing)
        return self._flashes

    def _count(self, opposing: F32 | None) -> None:
        gone = self._changes.popleft() if len(self._changes) == self._span else None
        self._changes.append(opposing)
        if opposing is not None:
            self._per_cell += opposing
        if gone is not None:
            self._per_cell -= gone
        if opposing is not None or gone is not None:
            place = -max(1, int(AREA * self._per_cell.size))
            shared = int(np.partition(self._per_cell, place)[place])  # changes that a quarter of the cells made
            self._flashes = shared // 2
            self.worst = max(self.worst, self._flashes)


class FlashGuard:
    """Blurs pictures over time while they would flash; does not change others.

    A frame that comes out depends only on the last few seconds of frames that went in. So a story that is resumed at
    `warmup_start` continues with identical bytes.

    Args:
        frames_per_second: of the story.
        seq: number of the first frame that goes in.
        counted_from: first frame whose flashes count in `worst`, >= seq; None counts from `seq` on, so also frames that
            come out otherwise than in an uninterrupted story.
    """

    def __init__(self, frames_per_second: float, seq: int = 0, counted_from: int | None = None) -> None:
        self._counted_from = seq if counted_from is None else counted_from
        self._raw = FlashCounter(frames_per_second, seq)
        self._shown = FlashCounter(frames_per_second, self._counted_from)
        self._alarm: deque[int] = deque(maxlen=max(1, round(frames_per_second / 2)))
        reach = max(2, round(0.75 * frames_per_second))
        self._window: F32 = np.hanning(reach + 2)[1:-1].astype(np.float32)
        self._recent: deque[U8] = deque(maxlen=reach)

    @staticmethod
    def warmup_start(seq: int, frames_per_second: float) -> int:
        """The frame to start with so that frame `seq` and all later ones are as in an uninterrupted story."""
        two_seconds = 2 * max(1, round(frames_per_second))
        return max(0, (seq - two_seconds) // two_seconds * two_seconds)

    @property
    def worst(self) -> int:
        """Most flashes in any second of the frames that came out."""
        return self._shown.worst

    def filter_frame(self, picture: U8) -> U8:
        """Adds the next frame, (H, W, 3) uint8; returns the frame to show."""
        seq, light = self._raw.next_seq, cell_luminance(picture)
        self._recent.append(picture)
        self._alarm.append(self._raw.add(light))
        if max(self._alarm) >= 2:
            weights = self._window[-len(self._recent) :] / self._window[-len(self._recent) :].sum()
            mixed = sum(w * p for w, p in zip(weights, self._recent, strict=True))
            picture = np.rint(np.asarray(mixed)).clip(0, 255).astype(np.uint8)
            light = cell_luminance(picture)
        if seq >= self._counted_from:
            self._shown.add(light)
        return picture
