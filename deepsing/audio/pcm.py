"""Raw samples without a container, as a live capture sends them."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from deepsing.audio.errors import AudioError
from deepsing.audio.growing_file import GrowingFile
from deepsing.audio.samples import FULL_SCALES, Chunk, float_channels
from deepsing.audio.view import Readable

__all__ = ["PcmSource"]

SAMPLE_TYPES = {"s16le": "<i2", "f32le": "<f4"}
READ_BYTES = 1 << 15


class PcmSource:
    """Describes raw samples for `decode_blocks`.

    Args:
        file: where the bytes come from; a short read is passed on at once, so a live source has no latency.
        sample_format: "s16le" (signed 16-bit) or "f32le" (float, full scale ±1), channels interleaved.
        sample_rate_hz: [8000, 192000].
        channel_count: [1, 8].

    Raises:
        AudioError: "format", naming the parameter out of range.
    """

    container = ""
    promised_s: float | None = None  # raw samples have no header that could promise a length
    other_stream_count = 0
    damaged_count = 0
    cut_reason = ""

    def __init__(
        self, file: Readable, *, sample_format: Literal["s16le", "f32le"], sample_rate_hz: int, channel_count: int
    ) -> None:
        if sample_format not in SAMPLE_TYPES:
            rule = f"sample_format is {sample_format!r}; choose {' or '.join(SAMPLE_TYPES)}"
            raise AudioError("format", rule, field="sample_format", value=sample_format)
        if not 8000 <= sample_rate_hz <= 192_000:
            rule = f"sample_rate_hz is {sample_rate_hz}; choose 8000 to 192000"
            raise AudioError("format", rule, field="sample_rate_hz", value=sample_rate_hz)
        if not 1 <= channel_count <= 8:
            rule = f"channel_count is {channel_count}; choose 1 to 8"
            raise AudioError("format", rule, field="channel_count", value=channel_count)
        self.codec = f"pcm_{sample_format}"
        self.live = isinstance(file, GrowingFile) and file.live
        self._file = file
        self._dtype = np.dtype(SAMPLE_TYPES[sample_format])
        self._sample_rate_hz = sample_rate_hz
        self._channel_count = channel_count

    def chunks(self) -> Iterator[Chunk]:
        """Yields the samples as they come; bytes of an unfinished last sample are dropped.

        Raises:
            AudioError: "empty".
        """
        frame_bytes = self._channel_count * self._dtype.itemsize
        full_scale = FULL_SCALES[self._dtype.str[1:]]
        pending = self._file.read(READ_BYTES)
        if not pending:
            raise AudioError("empty", "the song has no bytes; send its samples", field="byte_count", value=0)
        while True:
            whole = len(pending) // frame_bytes * frame_bytes
            if whole:
                values = np.frombuffer(pending[:whole], self._dtype).reshape(-1, self._channel_count).T
                yield Chunk(float_channels(values), self._sample_rate_hz, full_scale)
            more = self._file.read(READ_BYTES)
            if not more:
                return
            pending = pending[whole:] + more

    def close(self) -> None:
        """Does nothing: the file is the caller's."""
