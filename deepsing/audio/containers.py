"""Open an encoded song, whatever its name says, and decodes what can be decoded of it."""

__all__ = ["ContainerSource"]

from collections.abc import Iterator
from typing import Protocol

import av

from .errors import AudioError
from .headers import declared_duration_s
from .samples import Chunk, channels_of

# Only formats that keep their sound in their own bytes. Playlists and scripts (hls, dash, concat, sdp, image2 …)
# would make FFmpeg open files and hosts of the sender's choice.
FORMATS = (
    "aac ac3 aiff amr ape asf au avi caf dsf dts dtshd eac3 flac flv ircam loas matroska mov mp3 mpc mpc8 mpeg "
    "mpegts nut oga ogg opus oma tak truehd tta voc w64 wav wv webm xwma qoa osq"
)
HEAD_BYTES = 1 << 16
BAD_PACKETS_IN_A_ROW = 5000  # after so many without a good one nothing more is expected
DEMUX_ERRORS_IN_A_ROW = 100
CHANNELS_MAX = 64
RATE_MIN_HZ, RATE_MAX_HZ = 2_000, 768_000
FRAME_SAMPLES_MAX = 1 << 22  # no honest frame is longer; keeps a forged header from taking memory

av.logging.set_level(None)  # FFmpeg's remarks on damaged songs reach the user as warnings of ours


class Readable(Protocol):
    """A binary file."""

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes; b"" at the end."""
        ...


class _View:
    """The file as FFmpeg sees it: nameless (names are not to be believed), keeping the head and any error."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        seekable = getattr(file, "seekable", None)
        self._seekable = bool(seekable()) if seekable is not None else hasattr(file, "seek")
        self._position = 0
        self.head = b""
        self.error: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            piece = bytes(self._file.read(size)[:size])
        except Exception as error:
            self.error = error
            raise
        if self._position == len(self.head) < HEAD_BYTES:
            self.head += piece[: HEAD_BYTES - len(self.head)]
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int) -> int:
        try:
            self._position = int(self._file.seek(offset, whence))  # type: ignore[attr-defined]
        except Exception as error:
            self.error = error
            raise
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return self._seekable


class ContainerSource:
    """An encoded song.

    Attributes:
        codec, container: FFmpeg's names, "" until opened.
        declared_s: length by the header, None where it does not say.
        damaged_count: packets that could not be decoded.
        stopped_early: whether decoding was given up before the end.
    """

    def __init__(self, file: Readable) -> None:
        self.codec = ""
        self.container = ""
        self.declared_s: float | None = None
        self.damaged_count = 0
        self.stopped_early = False
        self._view = _View(file)
        self._opened: av.container.InputContainer | None = None

    def chunks(self) -> Iterator[Chunk]:
        """Give the decoded frames; what cannot be decoded is left out and counted.

        Raises:
            AudioError: "empty", "no_audio" or "unreadable".
            Exception: what the file raised when it was read.
        """
        stream = self._open()
        bad_in_a_row = 0
        for packet in self._packets(stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                self._raise_read_error()
                self.damaged_count += 1
                bad_in_a_row += 1
                if bad_in_a_row >= BAD_PACKETS_IN_A_ROW:
                    self.stopped_early = True
                    return
                continue
            for frame in frames:
                if frame.samples:
                    bad_in_a_row = 0
                    self._check_format(frame.layout.nb_channels, frame.sample_rate)
                    yield channels_of(frame)

    def close(self) -> None:
        """Free the decoder; the file is the caller's."""
        if self._opened is not None:
            self._opened.close()

    def _open(self) -> av.AudioStream:
        options = {"format_whitelist": FORMATS.replace(" ", ","), "protocol_whitelist": "none"}
        try:
            self._opened = av.open(self._view, mode="r", container_options=options, metadata_errors="replace")
        except av.error.FFmpegError as error:
            self._raise_read_error()
            if not self._view.head:
                raise AudioError("empty", "the song has no bytes; send a file", field="byte_count", value=0) from None
            message = f"the song is in no format we read ({error.strerror}); send mp3, m4a, flac, ogg or wav"
            raise AudioError("unreadable", message) from None
        stream = self._opened.streams.best("audio")
        if stream is None:
            found = ", ".join(f"{one.type} ({one.name or 'unknown'})" for one in self._opened.streams) or "nothing"
            message = f"the file has no audio stream, only {found}; send a file with sound"
            raise AudioError("no_audio", message, field="streams", value=found)
        assert isinstance(stream, av.AudioStream)
        self.container = self._opened.format.name
        if stream.codec_context is None:
            message = (
                f"there is no decoder for the sound in this {self.container} file; send mp3, m4a, flac, ogg or wav"
            )
            raise AudioError("unreadable", message)
        self.codec = stream.codec_context.codec.name
        self._check_format(stream.codec_context.channels, stream.codec_context.sample_rate)
        self.declared_s = declared_duration_s(self._opened, stream, self._view.head)
        stream.codec_context.options = {"max_samples": str(FRAME_SAMPLES_MAX)}
        stream.codec_context.thread_count = 1
        return stream

    def _packets(self, stream: av.AudioStream) -> "Iterator[av.Packet[av.AudioStream]]":
        """Demux to the end, going on after errors while something comes between them."""
        assert self._opened is not None
        errors_in_a_row = 0
        while errors_in_a_row < DEMUX_ERRORS_IN_A_ROW:
            try:
                for packet in self._opened.demux(stream):
                    errors_in_a_row = 0
                    yield packet
                self._raise_read_error()
                return
            except av.error.FFmpegError:
                self._raise_read_error()
                self.damaged_count += 1
                errors_in_a_row += 1
        self.stopped_early = True

    def _raise_read_error(self) -> None:
        if self._view.error is not None:
            raise self._view.error

    def _check_format(self, channel_count: int, sample_rate_hz: int) -> None:
        if channel_count > CHANNELS_MAX:
            rule = f"the song says {channel_count} channels; {CHANNELS_MAX} is the most"
            raise AudioError("unreadable", rule, field="channel_count", value=channel_count)
        if not RATE_MIN_HZ <= sample_rate_hz <= RATE_MAX_HZ:
            rule = f"the song says {sample_rate_hz} Hz; we read {RATE_MIN_HZ} to {RATE_MAX_HZ}"
            raise AudioError("unreadable", rule, field="sample_rate_hz", value=sample_rate_hz)
