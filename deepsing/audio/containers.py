"""Opens an encoded song by its bytes, whatever its name says, and decodes what can be decoded of it."""

import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import av

from deepsing.audio.allocations import limit_allocations
from deepsing.audio.errors import AudioError
from deepsing.audio.ogg import OggChain, is_ogg
from deepsing.audio.packets import PacketDecoder
from deepsing.audio.samples import Chunk
from deepsing.audio.view import FileView, Readable

__all__ = ["ContainerSource"]

# Only formats that keep their sound in their own bytes. Playlists and scripts (hls, dash, concat, sdp, image2 …)
# would make FFmpeg open files and hosts of the sender's choice.
FORMATS = (
    "aac ac3 aiff amr ape asf au avi caf dsf dts dtshd eac3 flac flv ircam loas matroska mov mp3 mpc mpc8 mpeg "
    "mpegts nut ogg oma osq qoa tak truehd tta voc w64 wav wv xwma"
)
OPTIONS = {"format_whitelist": FORMATS.replace(" ", ","), "protocol_whitelist": "none"}
# By default FFmpeg examines seconds of a stream before it decodes; live sound must not wait for that.
LIVE_OPTIONS = {"probesize": "4096", "max_probe_packets": "1", "analyzeduration": "100000"}
FRAME_VALUES_MAX = 1 << 22  # of all channels; no honest frame has more, and a forged one would take memory and time
FORMAT_HINT = "send mp3, m4a, flac, ogg or wav"
# Containers whose header holds the length; elsewhere FFmpeg guesses from the bit rate or looks at the last page.
TIMED_HEADERS = frozenset(
    {"flac", "mov,mp4,m4a,3gp,3g2,mj2", "aiff", "caf", "tta", "ape", "wv", "matroska,webm", "asf"}
)
PLACEHOLDER_BYTES = 0x7FFFF000  # writers that cannot seek back leave this or more (or 0) as the size of a wav
PCM_TAGS = frozenset({1, 3, 6, 7, 0xFFFE})  # integer, float, A-law, mu-law, extensible
XING_BYTES = 144
MPEG1_RATES_FROM_HZ = 32_000  # slower mp3 is MPEG-2, whose frames have half the samples


limit_allocations()
av.logging.set_level(None)  # what FFmpeg would log of damaged songs, we report as warnings of the song


class ContainerSource:
    """An encoded song.

    Attributes:
        codec, container: FFmpeg's names, "" until opened.
        declared_s: length by the header, None where it does not say.
        damaged_count: parts that could not be decoded, so far.
        cut_reason: why the song ends before its end, "" if it does not.

    Args:
        file: read from its start.
        pause: called before each packet and each piece that is read; what it raises ends the decoding.
    """

    def __init__(self, file: Readable, pause: Callable[[], None] = lambda: None) -> None:
        self.codec = ""
        self.container = ""
        self.declared_s: float | None = None
        self.damaged_count = 0
        self.cut_reason = ""
        self._file, self._pause = file, pause
        self._cleanup = ExitStack()

    def chunks(self) -> Iterator[Chunk]:
        """Yields the decoded frames; what cannot be decoded is left out and counted.

        Raises:
            AudioError: "empty", "no_audio" or "unreadable".
            Exception: what the file raised when it was read.
        """
        view = FileView(self._file, self._pause)
        if not view.peek(1):
            raise AudioError("empty", "the song has no bytes; send a file", field="byte_count", value=0)
        if not is_ogg(view):
            yield from self._decode(view, view)
            return
        chain = OggChain(view)
        for index, link in enumerate(chain.links()):
            try:
                yield from self._decode(link, view)
            except AudioError:
                if index == 0:
                    raise
                self.damaged_count += 1
            self.damaged_count += chain.take_damage()
        if chain.broken_off:
            self.cut_reason = "the last page of the ogg file is missing"

    def close(self) -> None:
        """Frees the decoder; the file is the caller's."""
        self._cleanup.close()

    def _decode(self, file: Readable, view: FileView) -> Iterator[Chunk]:
        with self._cleanup:
            container = self._open_container(file, view)
            self._cleanup.callback(container.close)
            stream = self._select_stream(container)
            self.container, self.codec = container.format.name, stream.codec_context.codec.name
            self.declared_s = read_duration_s(container, stream, view.head)
            decoder = PacketDecoder(container, stream, view, self.declared_s)
            for chunk in decoder.chunks():
                yield chunk
                self.damaged_count += decoder.take_damage()
            self.damaged_count += decoder.take_damage()
            self.cut_reason = decoder.cut_reason

    def _open_container(self, file: Readable, view: FileView) -> av.container.InputContainer:
        options = OPTIONS if view.seekable() else OPTIONS | LIVE_OPTIONS
        try:
            with view.limit_head():
                return av.open(file, mode="r", container_options=options, metadata_errors="replace")
        except av.error.FFmpegError as error:
            if view.error is not None:
                raise view.error from None
            why = error.strerror
            if view.head[4:8] == b"ftyp":
                why = "the index of this mp4 is missing, or comes too late to play it live"
            raise AudioError(
                "unreadable", f"the song is in no format that we can read ({why}); {FORMAT_HINT}"
            ) from None

    def _select_stream(self, container: av.container.InputContainer) -> av.AudioStream:
        stream = container.streams.best("audio")
        if stream is None and not container.streams.audio:
            named = (f"{one.type} ({getattr(one, 'name', None) or 'unknown'})" for one in container.streams)
            found = ", ".join(named) or "nothing"
            message = f"the file has no audio stream, only {found}; send a file with sound"
            raise AudioError("no_audio", message, field="streams", value=found)
        if stream is None or stream.codec_context is None:  # a codec that is not known, or a header without channels
            raise AudioError(
                "unreadable", f"we cannot decode the sound in this {container.format.name} file; {FORMAT_HINT}"
            )
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.options = {"max_samples": str(FRAME_VALUES_MAX)}  # FFmpeg counts all channels, too
        stream.codec_context.thread_count = 1
        return stream


def read_duration_s(container: av.container.InputContainer, stream: av.AudioStream, head: bytes) -> float | None:
    """Reads the length from the header.

    Args:
        container: the open file.
        stream: its audio.
        head: the file's first bytes (as many as were kept) after its ID3 tag, if any.

    Returns:
        Seconds, or None where the header does not say.
    """
    name = container.format.name
    if name == "wav":
        return _riff_duration_s(head)
    if name == "mp3":
        return _mp3_duration_s(head, stream.codec_context.sample_rate)
    if name not in TIMED_HEADERS:
        return None
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / av.time_base
    return None


def _riff_duration_s(head: bytes) -> float | None:
    """Divides data size by byte rate of a RIFF/WAVE header; None for placeholders and foreign layouts."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    position, bytes_per_s = 12, 0
    while position + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, position)
        if name == b"fmt " and position + 24 <= len(head):
            tag, _, rate_hz, byte_rate, block_bytes = struct.unpack_from("<HHIIH", head, position + 8)
            bytes_per_s = rate_hz * block_bytes if tag in PCM_TAGS else byte_rate
        if name == b"data":
            known = 0 < size < PLACEHOLDER_BYTES and bytes_per_s > 0
            return size / bytes_per_s if known else None
        position += 8 + size + size % 2
    return None


def _mp3_duration_s(head: bytes, sample_rate_hz: int) -> float | None:
    """Reads the frame count, and the encoder's delay and padding, of the Xing or Info tag in the first frame."""
    first_frame = head[:4096]
    at = max(first_frame.find(b"Xing"), first_frame.find(b"Info"))
    if at < 0 or len(first_frame) < at + XING_BYTES or sample_rate_hz <= 0:
        return None
    flags, frame_count = struct.unpack_from(">II", first_frame, at + 4)
    if not flags & 1:
        return None
    samples: int = frame_count * (1152 if sample_rate_hz >= MPEG1_RATES_FROM_HZ else 576)
    if first_frame[at + 120 : at + 124] in (b"LAME", b"Lavf", b"Lavc"):
        delay_and_padding = int.from_bytes(first_frame[at + 141 : at + XING_BYTES], "big")
        samples -= (delay_and_padding >> 12) + (delay_and_padding & 0xFFF)
    return max(samples, 0) / sample_rate_hz
