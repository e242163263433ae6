"""Cuts a stream of samples into overlapping frames, equal for any chunk sizes."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["FrameCutter"]

F32 = NDArray[np.float32]


class FrameCutter:
    """Keeps the samples that later frames need; the signal is silent before its start.

    Args:
        frame_length: samples of a frame.
        hop_length: samples from the start of one frame to that of the next.
        lead: samples of silence before the stream, where the first frame starts.
    """

    def __init__(self, frame_length: int, hop_length: int, lead: int) -> None:
        self._frame_length, self._hop_length = frame_length, hop_length
        self._tail: F32 = np.zeros(lead, np.float32)

    def push(self, samples: F32) -> F32:
        """Takes the next samples, any number; returns the frames that they complete, (frames, frame_length)."""
        signal = np.concatenate([self._tail, samples])
        count = max(0, (signal.size - self._frame_length) // self._hop_length + 1)
        self._tail = signal[count * self._hop_length :]
        if not count:
            return np.empty((0, self._frame_length), np.float32)
        every = np.lib.stride_tricks.sliding_window_view(signal, self._frame_length)
        return every[: count * self._hop_length : self._hop_length]
