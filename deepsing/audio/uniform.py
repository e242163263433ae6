"""Bring a stream whose format changes on the way to the format it began with."""

__all__ = ["FormatUnifier"]

import numpy as np

from deepsing.audio.rates import F32, RateConverter
from deepsing.audio.samples import Chunk


class FormatUnifier:
    """Resamples and re-channels what differs from the first chunk.

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
        """Give (channel_count, m) at sample_rate_hz; m may be 0 while the resampler fills."""
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
        """Give the end of the stream, (channel_count, m)."""
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
