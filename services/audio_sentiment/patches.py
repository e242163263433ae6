"""Runs the second music network on the last three seconds of a stream, once a second."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.embedding import PATCH_FRAMES, Network

__all__ = ["PatchReader"]

F32 = NDArray[np.float32]

EVERY = 2  # windows: half a second changes little, and at this rate the network takes a hundredth of a core


class PatchReader:
    """Keeps the last frames and the network's last answer.

    In the first three seconds, the frames so far are repeated until they fill a patch, as in the network's training.

    Args:
        network: the patch network's session.
        block_limit: how many half seconds to use at most; 0 is a whole patch.
    """

    def __init__(self, network: Network, block_limit: int = 0) -> None:
        self._network = network
        self._blocks: deque[F32] = deque(maxlen=block_limit or PATCH_FRAMES)
        self._count = 0
        self._last: F32 | None = None

    def push(self, frames: F32) -> F32:
        """Takes the mel frames of the next half second, (n, mels); returns the latest features.

        n = 0 returns the last features again (at least one frame must have come before).
        """
        if len(frames):
            self._blocks.append(frames)
            if self._count % EVERY == 0 or self._last is None:
                self._last = self._read()
            self._count += 1
        if self._last is None:
            raise ValueError("no frame has come yet; push at least one")
        return self._last

    def _read(self) -> F32:
        frames = np.concatenate(self._blocks)[-PATCH_FRAMES:]
        while len(self._blocks) > 1 and sum(map(len, self._blocks)) - len(self._blocks[0]) >= PATCH_FRAMES:
            self._blocks.popleft()
        patch = np.tile(frames, (-(-PATCH_FRAMES // len(frames)), 1))[:PATCH_FRAMES]
        (features,) = self._network.run(["patch"], {"mel": patch[None, None]})
        return features
