"""Runs the two music networks over a stream: mel frames in, features of the last three seconds out."""

__all__ = ["PATCH_FRAMES", "Embedder", "Network", "Networks", "PatchReader"]


from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.features import MEL_COUNT

F32 = NDArray[np.float32]

BEFORE, AFTER = 63, 64  # mel frames that the network's longest filter sees around each frame
MIDDLE_LAG = 9  # frames that its three upper layers look ahead
LAG_FRAMES = AFTER + MIDDLE_LAG
PATCH_FRAMES = 187  # 3 s: what the network was trained on
PATCH_BLOCKS = 6
PATCH_EVERY = 2  # windows: half a second changes little, and at this rate the network takes a hundredth of a core


class Network(Protocol):
    """The part of `onnxruntime.InferenceSession` that is used here."""

    def run(self, output_names: list[str], inputs: dict[str, F32]) -> list[F32]:
        """Computes the named outputs."""
        ...

    def get_inputs(self) -> list[Any]:
        """Describes the inputs, each with name and shape."""
        ...


@dataclass(frozen=True)
class Networks:
    """The two music networks, opened.

    Attributes:
        stream: inputs `mel` and `past`, see network.py.
        patch: input `mel`, see patch_network.py.
    """

    stream: Network
    patch: Network


class _Pass:
    """One run of the network along time; before its first frame there is silence."""

    def __init__(self, network: Network) -> None:
        self._network = network
        rows = {node.name: node.shape for node in network.get_inputs()}["past"]
        self._past = np.zeros(rows, np.float32)
        self._mel = np.zeros((BEFORE + AFTER, MEL_COUNT), np.float32)
        self.step(np.zeros((rows[2], MEL_COUNT), np.float32))  # fills the past with the values of silence

    def step(self, frames: F32) -> F32:
        """Takes n >= 1 mel frames; returns (2, channels), mean and maximum over the n frames LAG_FRAMES earlier."""
        mel = np.concatenate([self._mel, frames])
        self._mel = mel[len(frames) :]
        self._past, pooled = self._network.run(["rows", "pooled"], {"mel": mel[None, None], "past": self._past})
        return pooled


class Embedder:
    """Keeps the pooled features of the last three seconds, as the network was trained to see them.

    The network looks LAG_FRAMES (1.2 s) ahead, so the embedding trails the audio by as much. In the first three
    seconds, the frames so far are repeated until they fill a patch, as in the network's training.

    Args:
        network: the music network's session.
        block_limit: how many half seconds to pool over at most; 0 is a whole patch.
    """

    def __init__(self, network: Network, block_limit: int = 0) -> None:
        self._network = network
        self._pass = _Pass(network)
        self._frame_count = 0
        self._first_frames: deque[F32] = deque(maxlen=block_limit or PATCH_BLOCKS)
        self._blocks: deque[F32] = deque(maxlen=min(block_limit or PATCH_BLOCKS, PATCH_BLOCKS))
        self._last: F32 | None = None

    @property
    def latest_block(self) -> F32:
        """(2, channels), mean and maximum over the half second LAG_FRAMES before the latest; at first, over all."""
        if self._blocks:
            return self._blocks[-1]
        if self._last is None:
            raise ValueError("no frame has come yet; push at least one")
        return self._last

    def push(self, frames: F32) -> F32:
        """Takes the mel frames of the next half second.

        Args:
            frames: (n, MEL_COUNT); n = 0 returns the last embedding again (at least one frame must have come before).

        Returns:
            (2, channels): mean and maximum over the latest three seconds that the network has seen.
        """
        if len(frames):
            known = self._frame_count >= LAG_FRAMES
            self._frame_count += len(frames)
            pooled = self._pass.step(frames)
            if known:  # before that, the network has only seen silence
                self._blocks.append(pooled)
            if self._frame_count < PATCH_FRAMES:
                self._first_frames.append(frames)
                self._last = self._pool_repeated()
            else:
                blocks = np.stack(self._blocks)
                self._last = np.stack([blocks[:, 0].mean(axis=0), blocks[:, 1].max(axis=0)])
        if self._last is None:
            raise ValueError("no frame has come yet; push at least one")
        return self._last

    def _pool_repeated(self) -> F32:
        """Pools over the frames so far, repeated until they fill a patch, with more repetitions before and after it."""
        first = np.concatenate(self._first_frames)
        total = PATCH_FRAMES + BEFORE + MIDDLE_LAG + LAG_FRAMES
        tiled = np.tile(first, (-(-total // len(first)), 1))[:total]
        patch = _Pass(self._network)
        patch.step(tiled[: total - PATCH_FRAMES])
        return patch.step(tiled[total - PATCH_FRAMES :])


class PatchReader:
    """Runs the second music network once a second; keeps the last frames and the network's last answer.

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
            if self._count % PATCH_EVERY == 0 or self._last is None:
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
