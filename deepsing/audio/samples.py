"""Turns decoded samples of any format into float32 channels, and brings them to one sample rate and channel count.

Without drift: n samples at one rate become round(n · to / from) at the other.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt

__all__ = ["Chunk", "frame_to_chunk", "float_channels", "join_chunks", "FormatUnifier", "RateConverter"]

F32 = npt.NDArray[np.float32]

# FFmpeg's sample formats without the "p" of planar ones → numpy's
DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
# The largest value as a share of full scale. 32-bit integers mostly carry 24-bit sound; floats mostly were 16-bit.
FULL_SCALES = {
    "u1": 127 / 128,
    "i2": 1 - 2**-15,
    "i4": 1 - 2**-23,
    "i8": 1 - 2**-23,
    "f4": 1 - 2**-15,
    "f8": 1 - 2**-15,
}


class Chunk(NamedTuple):
    """Some decoded sound.

    Attributes:
        channels: (channels, n), full scale ±1.
        sample_rate_hz: of these samples.
        full_scale: magnitude from which a sample counts as clipped.
    """

    channels: F32
    sample_rate_hz: int
    full_scale: float


def float_channels(values: npt.NDArray[Any]) -> F32:
    """Scales samples so that full scale is ±1: (channels, n) of u1, i2, i4, i8, f4 or f8 → the same of f4."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):  # a double beyond float32 becomes inf, which is reported
            return np.ascontiguousarray(values, dtype=np.float32)
    if values.dtype.kind == "u":
        return (values.astype(np.float32) - np.float32(128)) * np.float32(1 / 128)
    return values.astype(np.float32) * np.float32(2.0 ** (1 - 8 * values.dtype.itemsize))


def frame_to_chunk(frame: av.AudioFrame) -> Chunk:
    """Copies a decoded frame's samples, whatever its format and channel layout."""
    name = frame.format.name
    dtype = np.dtype(DTYPES[name.removesuffix("p")])
    channel_count = frame.layout.nb_channels
    if name.endswith("p"):
        planes = [np.frombuffer(memoryview(plane), dtype, frame.samples) for plane in frame.planes]
        values = np.stack(planes[:channel_count])
    else:
        packed = np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * channel_count)
        values = packed.reshape(frame.samples, channel_count).T
    return Chunk(float_channels(values), frame.sample_rate, FULL_SCALES[dtype.str[1:]])


def join_chunks(chunks: Iterable[Chunk], duration_s: float, values: int) -> Iterator[Chunk]:
    """Joins chunks of one format until they are at least so long, or hold so many values of all channels.

    What remains at a change or at the end is shorter.
    """
    pending: list[Chunk] = []
    count = 0
    for chunk in chunks:
        if pending and _form(chunk) != _form(pending[0]):
            yield _concatenate(pending)
            pending, count = [], 0
        pending.append(chunk)
        count += chunk.channels.shape[1]
        if count >= min(duration_s * chunk.sample_rate_hz, values / len(chunk.channels)):
            yield _concatenate(pending)
            pending, count = [], 0
    if pending:
        yield _concatenate(pending)


def _form(chunk: Chunk) -> tuple[int, int, float]:
    return chunk.sample_rate_hz, len(chunk.channels), chunk.full_scale


def _concatenate(chunks: list[Chunk]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    return chunks[0]._replace(channels=np.concatenate([chunk.channels for chunk in chunks], axis=1))


class RateConverter:
    """Resamples (channels, n) blocks; each channel by itself, so that FFmpeg never mixes them.

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
        """Takes (channels, n) in and give what is ready of the stream, (channels, m); m may be 0."""
        self._in_count += block.shape[1]
        if not block.shape[1]:
            return block
        return self._trim_to_count(np.concatenate([self._resample(row, block[row]) for row in range(len(block))]))

    def flush(self) -> F32:
        """Returns the end of the stream, (channels, m); the converter is used up then."""
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
        """Cuts what exceeds the exact count so far (the filter's tail rings on)."""
        due = round(self._in_count * self._to_hz / self._from_hz) - self._out_count
        block = block[:, : max(due, 0)]
        self._out_count += block.shape[1]
        return block


class FormatUnifier:
    """Converts chunks to the sample rate and channel count of the first one.

    Attributes:
        sample_rate_hz: of the first chunk, 0 before it.
        channel_count: of the first chunk, 0 before it.
        forms: all (sample rate, channel count) met.
    """

    def __init__(self) -> None:
        self.sample_rate_hz = 0
        self.channel_count = 0
        self.forms: set[tuple[int, int]] = set()
        self._current_form = (0, 0)
        self._converter: RateConverter | None = None

    def take(self, chunk: Chunk) -> F32:
        """Returns (channel_count, m) at sample_rate_hz; m may be 0 while the resampler fills."""
        form = (chunk.sample_rate_hz, len(chunk.channels))
        if not self.sample_rate_hz:
            self.sample_rate_hz, self.channel_count = self._current_form = form
            self.forms.add(form)
        before = self._switch_form(form) if form != self._current_form else None
        channels = chunk.channels
        if len(channels) != self.channel_count:
            mono = channels.mean(axis=0, dtype=np.float32, keepdims=True)
            channels = np.repeat(mono, self.channel_count, axis=0)
        if self._converter is not None:
            channels = self._converter.convert(channels)
        return channels if before is None else np.concatenate([before, channels], axis=1)

    def flush(self) -> F32:
        """Returns the end of the stream, (channel_count, m)."""
        if self._converter is None:
            return np.zeros((self.channel_count, 0), np.float32)
        converter, self._converter = self._converter, None
        return converter.flush()

    def _switch_form(self, form: tuple[int, int]) -> F32:
        self.forms.add(form)
        tail = self.flush()
        self._current_form = form
        if form[0] != self.sample_rate_hz:
            self._converter = RateConverter(form[0], self.sample_rate_hz, self.channel_count)
        return tail
