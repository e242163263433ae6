"""Writes a story as mp4: H.264 (yuv420p, BT.709) and AAC, index first; unfinished files are removed."""

import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

__all__ = ["VideoWriter", "join_videos", "write_audio"]

AUDIO_BIT_RATE = 192_000
AAC_RATES_HZ = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


class VideoWriter:
    """Encodes frames one by one. As a context manager it completes the file, or removes it after an error.

    Args:
        path: mp4 to write, without sound.
        width_px, height_px: even.
        rate: frames per second.
        threads: threads of the encoder.
    """

    def __init__(self, path: Path, width_px: int, height_px: int, rate: Fraction, threads: int = 1) -> None:
        self.path = path
        self._container = av.open(str(path), "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=rate, options={"preset": "superfast", "crf": "18"})
        self._stream.width, self._stream.height, self._stream.pix_fmt = width_px, height_px, "yuv420p"
        context = self._stream.codec_context
        context.thread_count, context.gop_size = threads, max(1, round(rate * 2))
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        self._count, self.time_base = 0, 1 / rate
        self._reformatter = VideoReformatter()  # of all frames: its tables take as long as a frame's conversion

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Encodes the next frame, (height, width, 3) RGB."""
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(picture, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        frame.pts, frame.time_base = self._count, self.time_base
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Completes the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Stops encoding and removes the file, also after close()."""
        with suppress(av.error.FFmpegError, OSError, ValueError):
            self._container.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()


def aac_rate_hz(sample_rate_hz: int) -> int:
    """The lowest sample rate of AAC that is not below a rate, or AAC's highest."""
    return min((rate for rate in AAC_RATES_HZ if rate >= sample_rate_hz), default=AAC_RATES_HZ[0])


def write_audio(path: Path, blocks: Iterable[NDArray[np.float32]], sample_rate_hz: int) -> None:
    """Encodes blocks of samples as AAC.

    Args:
        path: m4a to write.
        blocks: each (n, channels), full scale ±1, clipped here; any other number of channels than two is averaged.
        sample_rate_hz: sample rate of the blocks.
    """
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=aac_rate_hz(sample_rate_hz), layout="stereo")
        stream.bit_rate = AUDIO_BIT_RATE
        position = 0
        for block in blocks:
            frame = av.AudioFrame.from_ndarray(_to_stereo(block), format="flt", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = sample_rate_hz, position, Fraction(1, sample_rate_hz)
            position += len(block)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _to_stereo(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, channels) → (1, 2n): two channels interleaved."""
    pair = block if block.shape[1] == 2 else np.repeat(block.mean(axis=1, keepdims=True), 2, axis=1)
    return np.ascontiguousarray(pair.clip(-1, 1), np.float32).reshape(1, -1)


def join_videos(videos: Sequence[Path], audio: Path, out: Path, rate: Fraction, title: str = "") -> None:
    """Copies pictures and sound into one mp4 without encoding again; `out` is written atomically.

    Args:
        videos: files of VideoWriter with equal settings, in order; all but the last have at least eight frames.
        audio: file of write_audio.
        out: mp4 to write.
        rate: frames per second of the videos.
        title: for the file's tags.
    """
    partial = out.with_name(out.name + ".partial")
    try:
        with (
            av.open(str(videos[0])) as pictures,
            av.open(str(audio)) as sound,
            av.open(str(partial), "w", format="mp4", options={"movflags": "+faststart"}) as container,
        ):
            if title:
                container.metadata["title"] = title
            sources = [pictures.streams.video[0], sound.streams.audio[0]]
            targets = [container.add_stream_from_template(source) for source in sources]
            order = heapq.merge(_concat_packets(videos, rate), _iter_packets(sound, 1), key=lambda x: x[:2])
            for _, place, packet in order:
                packet.stream = targets[place]
                container.mux(packet)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _concat_packets(videos: Sequence[Path], rate: Fraction) -> Iterator[tuple[Fraction, int, Any]]:
    count = 0
    for video in videos:
        begin_s = count / rate
        with av.open(str(video)) as container:
            for time_s, place, packet in _iter_packets(container, 0):
                shift = round(begin_s / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                count += 1
                yield time_s + begin_s, place, packet


def _iter_packets(container: av.container.InputContainer, place: int) -> Iterator[tuple[Fraction, int, Any]]:
    for packet in container.demux():
        if packet.dts is not None:
            yield packet.dts * packet.time_base, place, packet
