"""Opens an encoded song by its bytes, whatever its name says, and decodes what can be decoded of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import av

from deepsing.audio.allocations import limit_allocations
from deepsing.audio.errors import AudioError
from deepsing.audio.lengths import PromisedLength, read_duration_s
from deepsing.audio.ogg import OggChain, is_ogg
from deepsing.audio.packets import PacketDecoder
from deepsing.audio.samples import Chunk
from deepsing.audio.spans import MIXED, find_span
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

limit_allocations()
av.logging.set_level(None)  # what FFmpeg would log of damaged songs, we report as warnings of the song


class ContainerSource:
    """An encoded song.

    Attributes:
        codec, container: FFmpeg's names, "" until opened.
        promised_s: length by the header where the file has clearly less; None until decoded, and where it is whole.
        other_stream_count: streams of sound that are not decoded.
        damaged_count: parts that could not be decoded, so far.
        cut_reason: why the song ends before its end, "" if it does not.

    Args:
        file: read from its start.
        pause: called before each packet and each piece that is read; what it raises ends the decoding.
    """

    def __init__(self, file: Readable, pause: Callable[[], None] = lambda: None) -> None:
        self.codec = ""
        self.container = ""
        self.promised_s: float | None = None
        self.other_stream_count = 0
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
            self.other_stream_count = len(container.streams.audio) - 1
            duration_s = read_duration_s(container, stream, view.head)
            decoder = PacketDecoder(container, stream, view, duration_s)
            for chunk in decoder.chunks():
                yield chunk
                self.damaged_count += decoder.take_damage()
            self.damaged_count += decoder.take_damage()
            self.cut_reason = decoder.cut_reason
            if file is view:  # the links of an ogg file say themselves where they end
                self._compare_with_header(duration_s, decoder.decoded_s, view)

    def _compare_with_header(self, duration_s: float | None, decoded_s: float, view: FileView) -> None:
        promise = PromisedLength(duration_s, find_span(self.container, view))
        if promise.find_promised_s(decoded_s, view.furthest) is not None:
            # Maybe the decoder has not read all; how much there is is known at the end only.
            self.promised_s = promise.find_promised_s(decoded_s, view.measure())
        if self.promised_s is not None and duration_s is None and self.container in MIXED:
            self.promised_s, self.cut_reason = None, self.cut_reason or "the file ends before its header says"

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
