"""Decodes a song from any source to blocks of float32 samples, in constant memory."""

import math
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, get_args

import numpy as np

from deepsing.audio.containers import ContainerSource
from deepsing.audio.errors import AudioError
from deepsing.audio.facts import SongFacts, SongWarning, WarningKind
from deepsing.audio.growing_file import GrowingFile
from deepsing.audio.pcm import PcmSource
from deepsing.audio.samples import F32, Chunk, FormatUnifier, RateConverter, join_chunks

__all__ = ["Decoding", "decode_blocks"]

MIN_DURATION_S = 0.5
MAX_DURATION_S = 4 * 3600.0
MAX_VALUES = 6 * 48_000 * 4 * 3600  # of all channels: four hours of 5.1 at 48 kHz; more is work, not sound
PIECE_S = 0.5  # short frames are gathered to this much, unless live; numpy is slow on small arrays
PIECE_VALUES = 2**20  # of all channels, at most, in one piece: 4 MiB

Source = str | os.PathLike[str] | GrowingFile | BinaryIO | PcmSource

SILENT_PEAK = 10 ** (-60 / 20)  # -60 dBFS
CLIPPED_SHARE = 1e-3
ANTI_PHASE_DB = 20.0  # the mono sum is at least so much quieter than the channels
PLAUSIBLE_PEAK = 2.0**32  # floats above are no sound; 32-bit integers stored as floats stay below


def decode_blocks(
    source: Source,
    *,
    mono: bool = True,
    sample_rate_hz: int | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
    min_duration_s: float = MIN_DURATION_S,
    max_duration_s: float = MAX_DURATION_S,
    pause: Callable[[], None] = lambda: None,
) -> "Decoding":
    """Decodes a song block by block; nothing is read before the first block is asked for.

    Args:
        source: path, binary file, GrowingFile, or PcmSource for raw samples. A file given open stays open.
        mono: mean of the channels; else all channels.
        sample_rate_hz: rate of the blocks; None is the song's own.
        start_s: where to begin, seconds >= 0, exact to the sample.
        duration_s: how much to take, seconds > 0; None is all.
        min_duration_s: less sound than this is refused at the end.
        max_duration_s: more sound than this (from the song's start) is refused on the way.
        pause: called in the decoding thread before each packet and each piece that is read; what it raises ends the
            decoding.

    Returns:
        An iterator over blocks of at most a second. It raises AudioError where the song cannot be used; "too_large"
        where it holds more than MAX_VALUES samples of all channels together.

    Raises:
        AudioError: "format" where a parameter is out of range.
    """
    if not start_s >= 0:
        raise AudioError("format", f"start_s is {start_s}; choose 0 or more", field="start_s", value=start_s)
    if duration_s is not None and not duration_s > 0:
        raise AudioError(
            "format", f"duration_s is {duration_s}; choose more than 0", field="duration_s", value=duration_s
        )
    decoding = Decoding(source, mono=mono, sample_rate_hz=sample_rate_hz, part_s=(start_s, duration_s), pause=pause)
    decoding.limits_s = (min_duration_s, max_duration_s)
    return decoding


class Decoding(Iterator[F32]):
    """The blocks of a song: float32, (n,) if mono, else (channels, n); full scale is ±1 but may be exceeded.

    Use it in one thread. Close it, or use it in a `with` statement, unless it is iterated to its end.

    Attributes:
        sample_rate_hz: rate of the blocks; 0 before the first one unless it was asked for.
        limits_s: shortest and longest song, seconds.
    """

    def __init__(
        self,
        source: Source,
        *,
        mono: bool,
        sample_rate_hz: int | None,
        part_s: tuple[float, float | None],
        pause: Callable[[], None],
    ) -> None:
        self.sample_rate_hz = sample_rate_hz or 0
        self.limits_s = (MIN_DURATION_S, MAX_DURATION_S)
        self._mono = mono
        self._part_s, self._pause = part_s, pause
        self._cleanup = ExitStack()
        self._source, self._live = self._open_source(source)
        self._unifier = FormatUnifier()
        self._levels = LevelMeter()
        self._position = 0  # samples decoded from the song's start, at its own rate
        self._taken = 0  # of these, samples in the part asked for
        self._values = 0  # decoded samples of all channels
        self._complete = False  # whether the song was decoded to its end
        self._blocks = self._run()

    @property
    def facts(self) -> SongFacts:
        """What is known so far; final once the iterator has ended."""
        source = self._source
        warnings = [*self._levels.warnings(source.other_stream_count), *self._source_warnings()]
        warnings.sort(key=lambda warning: get_args(WarningKind).index(warning.kind))
        return SongFacts(
            sample_count=self._taken,
            sample_rate_hz=self._unifier.sample_rate_hz,
            channel_count=self._unifier.channel_count,
            codec=source.codec,
            container=source.container,
            peak=self._levels.peak,
            clipped_share=self._levels.clipped_share,
            warnings=tuple(warnings),
        )

    def __next__(self) -> F32:
        return next(self._blocks)

    def __enter__(self) -> "Decoding":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the decoder and closes what was opened by path; may be repeated."""
        self._blocks.close()
        self._cleanup.close()

    def _open_source(self, source: Source) -> tuple[ContainerSource | PcmSource, bool]:
        if isinstance(source, PcmSource):
            return source, source.live
        if isinstance(source, str | os.PathLike):
            file = Path(source).open("rb")  # noqa: SIM115 - stays open as long as this object
            self._cleanup.callback(file.close)
            return self._close_later(ContainerSource(file, self._pause)), False
        return self._close_later(ContainerSource(source, self._pause)), isinstance(source, GrowingFile) and source.live

    def _close_later(self, source: ContainerSource) -> ContainerSource:
        self._cleanup.callback(source.close)
        return source

    def _run(self) -> Generator[F32]:
        converter: RateConverter | None = None
        with self._cleanup:
            for part in self._parts():
                own_hz = self._unifier.sample_rate_hz
                self.sample_rate_hz = self.sample_rate_hz or own_hz
                if converter is None and self.sample_rate_hz != own_hz:
                    converter = RateConverter(own_hz, self.sample_rate_hz, len(part))
                yield from self._yield_block(part if converter is None else converter.convert(part))
            if converter is not None:
                yield from self._yield_block(converter.flush())
            self._check_length()

    def _yield_block(self, block: F32) -> Iterator[F32]:
        if block.shape[1]:
            yield block[0] if self._mono else block

    def _parts(self) -> Iterator[F32]:
        """Yields the part asked for, at the song's own rate, (1 or channels, n)."""
        full_scale = 1.0
        for chunk in join_chunks(self._source.chunks(), 0.0 if self._live else PIECE_S, PIECE_VALUES):
            full_scale, step = chunk.full_scale, self._find_step(chunk)
            for at in range(0, chunk.channels.shape[1], step):
                self._pause()
                piece = self._levels.clean(chunk.channels[:, at : at + step])
                block = self._unifier.take(chunk._replace(channels=piece))
                self._count_values(max(piece.size, block.size), chunk)
                yield self._take_part(block, full_scale)
                if self._position >= self._end_position():
                    return
        self._complete = True
        if self._unifier.sample_rate_hz:
            yield self._take_part(self._unifier.flush(), full_scale)

    def _find_step(self, chunk: Chunk) -> int:
        """Samples of a chunk that are converted at once: a second, or less where that would be very many values."""
        made = (self._unifier.sample_rate_hz or chunk.sample_rate_hz) * max(
            self._unifier.channel_count, len(chunk.channels)
        )
        return max(1, int(chunk.sample_rate_hz * min(1.0, PIECE_VALUES / made)))

    def _count_values(self, count: int, chunk: Chunk) -> None:
        self._values += count
        if self._values > MAX_VALUES:
            form = f"{len(chunk.channels)} channels of {chunk.sample_rate_hz} Hz"
            rule = f"the song holds more than {MAX_VALUES} samples of all channels ({form}); send stereo at 48000 Hz"
            raise AudioError("too_large", rule, field="sample_count", value=self._values)

    def _end_position(self) -> float:
        """Where the part asked for ends, samples from the song's start."""
        start_s, part_s = self._part_s
        rate_hz = self._unifier.sample_rate_hz
        return math.inf if part_s is None else round(start_s * rate_hz) + round(part_s * rate_hz)

    def _take_part(self, block: F32, full_scale: float) -> F32:
        """Counts a block and cut it to the part asked for."""
        rate_hz, count = self._unifier.sample_rate_hz, block.shape[1]
        first = min(max(round(self._part_s[0] * rate_hz) - self._position, 0), count)
        last = int(min(max(self._end_position() - self._position, first), count))
        self._position += count
        longest_s = self.limits_s[1]
        if self._position > longest_s * rate_hz and rate_hz:
            rule = f"the song is longer than {longest_s / 60:g} minutes; cut it, or ask for an earlier part"
            raise AudioError("too_long", rule, field="duration_s", value=self._position / rate_hz)
        part = block[:, first:last]
        self._taken += part.shape[1]
        mono = self._levels.measure(part, full_scale)
        return mono if self._mono else part

    def _check_length(self) -> None:
        facts = self.facts
        shortest_s = self.limits_s[0]
        if not facts.sample_count and self._source.damaged_count:
            rule = (
                f"nothing in this {facts.container} file can be decoded; is it whole? send it again, or as mp3 or wav"
            )
            raise AudioError("unreadable", rule, field="damaged_count", value=self._source.damaged_count)
        if facts.sample_count < shortest_s * facts.sample_rate_hz or not facts.sample_count:
            found = f"{facts.duration_s:.3f} s of sound from {self._part_s[0]:g} s on"
            rule = f"the song has {found}; {shortest_s:g} s is the least, send a longer one"
            raise AudioError("too_short", rule, field="duration_s", value=facts.duration_s)

    def _source_warnings(self) -> list[SongWarning]:
        found = []
        source = self._source
        length_s = self._position / max(self._unifier.sample_rate_hz, 1)
        if self._complete and source.promised_s is not None:
            message = f"The header says {source.promised_s:.1f} s, but the song ends after {length_s:.1f} s."
            found.append(SongWarning("TRUNCATED", message))
        elif self._complete and source.cut_reason:
            found.append(SongWarning("TRUNCATED", f"The song ends after {length_s:.1f} s: {source.cut_reason}."))
        if source.damaged_count:
            message = (
                "1 damaged part was" if source.damaged_count == 1 else f"{source.damaged_count} damaged parts were"
            )
            found.append(SongWarning("DAMAGED", f"{message} left out."))
        if len(self._unifier.forms) > 1:
            forms = ", ".join(f"{rate_hz} Hz ({count} ch)" for rate_hz, count in sorted(self._unifier.forms))
            found.append(SongWarning("FORMAT_CHANGES", f"The format changes on the way, all was made one: {forms}."))
        return found


class LevelMeter:
    """Measures channels block by block: peak, clipping, cancellation, values that are no finite numbers."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._value_count = 0
        self._clipped_count = 0
        self._replaced_count = 0
        self._channels_power = 0.0  # sum over samples of the channels' mean square
        self._mono_power = 0.0

    @property
    def clipped_share(self) -> float:
        """Share of values at or over full scale, [0, 1]."""
        return self._clipped_count / max(self._value_count, 1)

    def clean(self, channels: F32) -> F32:
        """Replaces values that are NaN, infinite or beyond 2**32 by 0 and count them; any shape."""
        peak = np.abs(channels).max(initial=0.0)
        if peak <= PLAUSIBLE_PEAK:  # false for NaN
            return channels
        sound = np.abs(channels) <= PLAUSIBLE_PEAK
        self._replaced_count += int(channels.size - np.count_nonzero(sound))
        return np.where(sound, channels, np.float32(0))

    def measure(self, channels: F32, full_scale: float) -> F32:
        """Measures the next samples.

        Args:
            channels: (channels, n), finite; full scale is ±1.
            full_scale: magnitude from which a sample counts as clipped (its format's largest value).

        Returns:
            The mean of the channels, (1, n).
        """
        peak = float(np.abs(channels).max(initial=0.0))
        self.peak = max(self.peak, peak)
        self._value_count += channels.size
        if peak >= full_scale:
            self._clipped_count += int(np.count_nonzero(np.abs(channels) >= full_scale))
        if len(channels) == 1:
            return channels
        mono: F32 = channels.mean(axis=0, dtype=np.float32, keepdims=True)
        self._channels_power += float(np.vdot(channels, channels)) / len(channels)
        self._mono_power += float(np.vdot(mono, mono))
        return mono

    def warnings(self, other_stream_count: int) -> list[SongWarning]:
        """Returns the warnings that these levels call for.

        Args:
            other_stream_count: streams of sound in the file that were not decoded, and may be heard.
        """
        found = []
        if self._value_count and self.peak <= SILENT_PEAK:
            level = f"{20 * math.log10(self.peak):.0f} dBFS" if self.peak else "digital silence"
            message = f"Nothing is louder than -60 dBFS (loudest: {level})."
            if other_stream_count:
                message += f" Only one of the file's {other_stream_count + 1} streams of sound is read; "
                message += "send another one as a file of its own."
            found.append(SongWarning("SILENT", message))
        if self.clipped_share > CLIPPED_SHARE:
            share = f"{100 * self.clipped_share:.2g} %"
            found.append(SongWarning("CLIPPED", f"{share} of the samples are at or over full scale."))
        if self.peak > SILENT_PEAK and self._cancels():
            if self._mono_power:
                loss = f"{10 * math.log10(self._channels_power / self._mono_power):.0f} dB quieter than"
            else:
                loss = "silent, unlike"
            message = f"The channels cancel each other: their mean is {loss} the channels."
            found.append(SongWarning("ANTI_PHASE", message))
        if self._replaced_count:
            message = f"{self._replaced_count} samples were no finite numbers and were replaced by 0."
            found.append(SongWarning("NOT_FINITE", message))
        return found

    def _cancels(self) -> bool:
        return self._channels_power > 0 and self._mono_power <= self._channels_power * 10 ** (-ANTI_PHASE_DB / 10)
