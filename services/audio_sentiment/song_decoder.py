"""Decodes a song in a thread of its own while its bytes arrive."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from deepsing.audio import AudioError, GrowingFile, PcmSource, SongFacts, decode_blocks
from services.audio_sentiment.features import SAMPLE_RATE_HZ

__all__ = ["SongDecoder", "RawFormat"]

F32 = NDArray[np.float32]
WINDOWS_PER_SECOND = 2
MAX_SONG_S = 4 * 3600.0


class _StreamEndedError(Exception):
    """Ends the decoding thread of a stream that has ended."""


@dataclass(frozen=True)
class RawFormat:
    """Layout of raw samples; the bounds are those of the contract."""

    sample_format: Literal["s16le", "f32le"]
    sample_rate_hz: int
    channel_count: int


class SongDecoder:
    """Takes the bytes of a song and yields its samples; to be used in an async with statement.

    The next block is decoded only on demand, so a slow reader slows the decoding down; waiting bytes are kept in a
    temporary file.

    Args:
        live: whether the bytes arrive while the song is played.
        limit_bytes: largest size of the song.
        raw: layout of raw samples; None is an encoded file.

    Raises:
        AudioError: "format", if the layout is out of bounds.
    """

    def __init__(self, *, live: bool, limit_bytes: int, raw: RawFormat | None) -> None:
        self._file = GrowingFile(live=live, limit_bytes=limit_bytes)
        try:
            source = self._file if raw is None else PcmSource(self._file, **vars(raw))
        except AudioError:
            self._file.close()
            raise
        self._stopped = False
        self._decoding = decode_blocks(
            source, mono=True, sample_rate_hz=SAMPLE_RATE_HZ, max_duration_s=MAX_SONG_S, pause=self._check_stopped
        )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")
        self._sample_count = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._stopped = True  # also where the bytes of a long packet are read already
        self.abort(_StreamEndedError())
        self._thread.submit(self._release)
        self._thread.shutdown(wait=False)  # the thread ends by itself: it waits for nothing any more

    @property
    def facts(self) -> SongFacts:
        """Properties of the song, as far as it is decoded."""
        return self._decoding.facts

    @property
    def window_count(self) -> int:
        """Number of half-second windows of the song, counted in its own samples; the last may be shorter."""
        facts = self.facts
        return -(-facts.sample_count * WINDOWS_PER_SECOND // facts.sample_rate_hz)

    @property
    def position_us(self) -> int:
        """Length of the blocks yielded so far, microseconds."""
        return self._sample_count * 1_000_000 // SAMPLE_RATE_HZ

    @property
    def byte_count(self) -> int:
        """Bytes of the song that were consumed for them."""
        return self._file.tell()

    def append(self, chunk: bytes) -> None:
        """Adds bytes; raises AudioError "too_large" beyond the limit."""
        self._file.append(chunk)

    def finish(self) -> None:
        """Marks the end of the song."""
        self._file.finish()

    def abort(self, error: Exception) -> None:
        """Ends the decoding with an error."""
        self._file.abort(error)

    async def blocks(self) -> AsyncIterator[F32]:
        """Yields the samples at 16 kHz, mean of the channels, in blocks of at most a second.

        Raises:
            AudioError: the song cannot be used.
            Exception: the error that `abort` was called with.
        """
        loop = asyncio.get_running_loop()
        while (block := await loop.run_in_executor(self._thread, next, self._decoding, None)) is not None:
            self._sample_count += len(block)
            yield block

    def _check_stopped(self) -> None:
        if self._stopped:
            raise _StreamEndedError

    def _release(self) -> None:
        self._decoding.close()
        self._file.close()
