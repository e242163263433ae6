"""Turns decoded samples of any format into float32 channels."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt

__all__ = ["Chunk", "frame_to_chunk", "float_channels", "join_chunks"]

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


def join_chunks(chunks: Iterable[Chunk], duration_s: float) -> Iterator[Chunk]:
    """Joins chunks of one format until they are at least so long; what remains at a change or the end is shorter."""
    pending: list[Chunk] = []
    count = 0
    for chunk in chunks:
        if pending and _form(chunk) != _form(pending[0]):
            yield _concatenate(pending)
            pending, count = [], 0
        pending.append(chunk)
        count += chunk.channels.shape[1]
        if count >= duration_s * chunk.sample_rate_hz:
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
