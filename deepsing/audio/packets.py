"""Decodes the packets of one stream, going on after damage."""

from collections.abc import Iterator

import av

from deepsing.audio.errors import AudioError
from deepsing.audio.samples import Chunk, frame_to_chunk
from deepsing.audio.tags import Gap
from deepsing.audio.view import FileView

__all__ = ["PacketDecoder"]

BAD_IN_A_ROW = 5000  # after so many packets without a good one nothing more is expected
DEMUX_ERRORS_IN_A_ROW = 100
PROOF_PACKETS = 3  # so many good ones in a row end a damage; single ones are junk that looks like sound
FRAME_FORMAT_BITS = (0xFF, 0xFE, 0x0C)  # of an mpeg frame's header: sync, version, layer, rate
CHANNELS_MAX = 64
RATE_MIN_HZ, RATE_MAX_HZ = 2_000, 768_000
TIMED_CONTAINERS = frozenset({"flac"})  # time stamps count samples there, so a jump is a loss
JUMP_S = 0.02
# Frames follow each other there without an index, so that tags between them are taken for damaged frames.
TAGGED_CONTAINERS = frozenset({"mp3", "aac", "ac3", "eac3", "dts", "flac", "tta", "ape", "wv", "mpc", "mpc8", "tak"})
PADDED_CONTAINERS = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "mp3"})  # FFmpeg may leave padding at their end
PADDING_SAMPLES_MAX = 4096


class PacketDecoder:
    """Decodes one audio stream of an open container.

    Args:
        container: open for reading.
        stream: one of its audio streams.
        view: what the container reads from; it keeps the true error when reading fails.
        declared_s: length by the header, None where it does not say.

    Attributes:
        cut_reason: why decoding ended before the end of the file, "" if it did not.
        decoded_s: what was decoded so far.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.AudioStream,
        view: FileView,
        declared_s: float | None,
    ) -> None:
        self.cut_reason = ""
        self._container = container
        self._stream = stream
        self._view = view
        self._declared_s = declared_s
        self.decoded_s = 0.0
        self._damage = 0
        self._gap: Gap | None = None  # while recovering from damage: what lies between two good packets
        self._gap_damage = 0
        self._unproven: list[tuple[bytes, list[Chunk]]] = []  # packets behind the gap, good by themselves
        self._is_begun = False  # whether something was decoded that is sound
        self._frame_format: bytes | None = None
        self._ahead_s: float | None = None  # of the time stamps before what was decoded
        context = stream.codec_context
        _check_format(context.channels, context.sample_rate)

    def take_damage(self) -> int:
        """Returns how many parts were damaged since the last call."""
        damage, self._damage = self._damage, 0
        return damage

    def chunks(self) -> Iterator[Chunk]:
        """Yields the frames that could be decoded.

        Raises:
            AudioError: "unreadable" for formats out of reason.
            Exception: what the file raised when it was read.
        """
        if self._container.format.name in PADDED_CONTAINERS and self._declared_s:
            return self._strip_padding(self._decode_packets(), self._declared_s)
        return self._decode_packets()

    def _decode_packets(self) -> Iterator[Chunk]:
        bad_in_a_row = 0
        for packet in self._packets():
            self._view.pause()
            try:
                frames = [frame for frame in packet.decode() if frame.samples]
            except av.error.FFmpegError:
                self._raise_read_error()
                self._mark_damage(bytes(packet))
                bad_in_a_row += 1
                if bad_in_a_row >= BAD_IN_A_ROW:
                    self.cut_reason = "what follows cannot be decoded"
                    break
                continue
            if frames:
                bad_in_a_row = 0
                self._detect_format_change(packet)
            yield from self._hold_unproven(packet, [self._convert_frame(frame) for frame in frames])
        self._add_unproven_to_gap()
        self._close_gap(inside=False)

    def _hold_unproven(self, packet: "av.Packet[av.AudioStream]", chunks: list[Chunk]) -> Iterator[Chunk]:
        """Holds chunks back after damage until enough of them follow each other."""
        if self._gap is None:
            self._is_begun = self._is_begun or bool(chunks)
            yield from chunks
        elif chunks:
            self._unproven.append((bytes(packet), chunks))
            if len(self._unproven) >= PROOF_PACKETS:
                proven, self._unproven = self._unproven, []
                self._close_gap(inside=self._is_begun)
                self._is_begun = True
                for _, one in proven:
                    yield from one

    def _detect_format_change(self, packet: "av.Packet[av.AudioStream]") -> None:
        """Treats a change of an mpeg frame's version, layer or rate as damage: junk often looks like such a frame."""
        if not self._stream.codec_context.codec.name.startswith(("mp1", "mp2", "mp3")):
            return
        header = bytes(byte & mask for byte, mask in zip(bytes(packet)[:3], FRAME_FORMAT_BITS, strict=False))
        if self._frame_format not in (None, header):
            self._add_unproven_to_gap()
        self._frame_format = header

    def _mark_damage(self, packet: bytes | None) -> None:
        """Counts what could not be decoded: a packet, None where not even that could be read."""
        gap = self._add_unproven_to_gap()
        self._gap_damage += 1
        if packet is None:
            gap.mark_junk()
        else:
            gap.add(packet)

    def _add_unproven_to_gap(self) -> Gap:
        """Takes the packets that seemed good for junk; the gap begins here unless it has begun."""
        self._gap = self._gap or Gap()
        for packet, _ in self._unproven:
            self._gap.add(packet)
        self._gap_damage += len(self._unproven)
        self._unproven = []
        return self._gap

    def _close_gap(self, *, inside: bool) -> None:
        """Counts the gap's damage, unless nothing but tags and padding was there."""
        is_tagged = self._container.format.name in TAGGED_CONTAINERS
        if self._gap is not None and not (is_tagged and self._gap.is_harmless(inside=inside)):
            self._damage += self._gap_damage
        self._gap, self._gap_damage = None, 0

    def _convert_frame(self, frame: av.AudioFrame) -> Chunk:
        _check_format(frame.layout.nb_channels, frame.sample_rate)
        if frame.time is not None and self._container.format.name in TIMED_CONTAINERS:
            ahead_s = frame.time - self.decoded_s
            if self._ahead_s is not None and ahead_s > self._ahead_s + JUMP_S:
                self._damage += 1
            self._ahead_s = ahead_s
        self.decoded_s += frame.samples / frame.sample_rate
        return frame_to_chunk(frame)

    def _packets(self) -> "Iterator[av.Packet[av.AudioStream]]":
        """Demuxes to the end, going on after errors as long as something comes between them."""
        errors_in_a_row = 0
        while errors_in_a_row < DEMUX_ERRORS_IN_A_ROW:
            try:
                for packet in self._container.demux(self._stream):
                    errors_in_a_row = 0
                    yield packet
                self._raise_read_error()
                return
            except av.error.FFmpegError:
                self._raise_read_error()
                self._view.pause()
                self._mark_damage(None)
                errors_in_a_row += 1
            except IndexError:  # PyAV, at the very end, looks for streams that appeared on the way; ours was flushed
                self._raise_read_error()
                return
        self.cut_reason = "what follows cannot be read"

    def _raise_read_error(self) -> None:
        if self._view.error is not None:
            raise self._view.error

    def _strip_padding(self, chunks: Iterator[Chunk], duration_s: float) -> Iterator[Chunk]:
        """Cuts the last frames' padding; a header that says still less is not believed."""
        position = 0
        beyond: list[Chunk] | None = []
        for chunk in chunks:
            count = chunk.channels.shape[1]
            inside = min(max(round(duration_s * chunk.sample_rate_hz) - position, 0), count)
            position += count
            if beyond is None or inside == count:
                yield chunk
                continue
            if inside:
                yield chunk._replace(channels=chunk.channels[:, :inside])
            beyond.append(chunk._replace(channels=chunk.channels[:, inside:]))
            if sum(one.channels.shape[1] for one in beyond) > PADDING_SAMPLES_MAX:
                yield from beyond
                beyond = None


def _check_format(channel_count: int, sample_rate_hz: int) -> None:
    if channel_count > CHANNELS_MAX:
        rule = f"the song says {channel_count} channels; {CHANNELS_MAX} is the most, send a stereo mix"
        raise AudioError("unreadable", rule, field="channel_count", value=channel_count)
    if not RATE_MIN_HZ <= sample_rate_hz <= RATE_MAX_HZ:
        rule = f"the song says {sample_rate_hz} Hz; we read {RATE_MIN_HZ} to {RATE_MAX_HZ}, send 44100"
        raise AudioError("unreadable", rule, field="sample_rate_hz", value=sample_rate_hz)
