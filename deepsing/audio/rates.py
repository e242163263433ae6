"""Changes the sample rate of a stream without drift: out = round(in · to / from), whatever the blocks."""

__all__ = ["RateConverter"]

import av
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


class RateConverter:
    """Resamples (channels, n) blocks; each channel by itself, so that no layout's mixing rule comes in.

    Args:
        from_hz: rate of what comes in.
        to_hz: rate of what goes out.
        channel_count: rows of the blocks.
    """

    def __init__(self, from_hz: int, to_hz: int, channel_count: int) -> None:
        self._from_hz = from_hz
        self._to_hz = to_hz
        self._resamplers = [av.AudioResampler(format="flt", layout="mono", rate=to_hz) for _ in range(channel_count)]
        self._in_count = 0
        self._out_count = 0

    def convert(self, block: F32) -> F32:
        """Take (channels, n) in and give what is ready of the stream, (channels, m); m may be 0."""
        self._in_count += block.shape[1]
        if not block.shape[1]:
            return block
        return self._trim_to_count(np.concatenate([self._resample(row, block[row]) for row in range(len(block))]))

    def flush(self) -> F32:
        """Give the end of the stream, (channels, m); the converter is used up then."""
        tail = np.concatenate([self._resample(row, None) for row in range(len(self._resamplers))])
        missing = round(self._in_count * self._to_hz / self._from_hz) - self._out_count - tail.shape[1]
        return self._trim_to_count(np.pad(tail, ((0, 0), (0, missing))) if missing > 0 else tail)

    def _resample(self, row: int, samples: F32 | None) -> F32:
        frame = None
        if samples is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], format="flt", layout="mono")
            frame.sample_rate = self._from_hz
        pieces = [piece.to_ndarray() for piece in self._resamplers[row].resample(frame)]
        return np.concatenate([np.zeros((1, 0), np.float32), *pieces], axis=1)

    def _trim_to_count(self, block: F32) -> F32:
        """Cut what exceeds the exact count so far (the filter's tail rings on)."""
        due = round(self._in_count * self._to_hz / self._from_hz) - self._out_count
        block = block[:, : max(due, 0)]
        self._out_count += block.shape[1]
        return block
