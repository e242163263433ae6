"""Encodes test songs with FFmpeg and writes wav headers that FFmpeg would not write."""

__all__ = ["tone", "encode", "wav", "id3"]

import io
import struct
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def tone(duration_s: float, rate_hz: int = 44_100, channels: int = 2, level: float = 0.3) -> F32:
    """A chord that swells every second, louder by 10 % from channel to channel: (channels, n)."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    chord = (np.sin(2 * np.pi * 220 * t) + 0.5 * np.sin(2 * np.pi * 331 * t)) / 1.5
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * t)
    return np.stack([level * (1 + 0.1 * channel) * swell * chord for channel in range(channels)]).astype(np.float32)


class _Pipe(io.BytesIO):
    """A sink that cannot seek back, so that muxers leave lengths out."""

    def seekable(self) -> bool:
        return False


def encode(
    samples: F32,
    rate_hz: int,
    container: str,
    codec: str,
    *,
    picture: bool = False,
    video: bool = False,
    sound: bool = True,
    pipe: bool = False,
    quality: int | None = None,
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> bytes:
    """Muxes (channels, n) samples, with a cover picture or moving pictures beside them where asked for."""
    out = _Pipe()
    with (
        tempfile.TemporaryDirectory() as folder,
        av.open(out if pipe else f"{folder}/song", "w", format=container, options=options or {}) as muxer,
    ):
        muxer.metadata.update(tags or {})
        stream: Any = muxer.add_stream(codec, rate=rate_hz, layout=LAYOUTS[len(samples)]) if sound else None
        if codec == "vorbis":
            stream.codec_context.options = {"strict": "experimental"}
        if quality is not None:
            stream.codec_context.qscale = True
            stream.codec_context.global_quality = quality * 118
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        if picture or video:
            _add_pictures(muxer, still=picture)
        if stream is not None:
            _add_sound(muxer, stream, samples, rate_hz)
        muxer.close()
        return out.getvalue() if pipe else Path(folder, "song").read_bytes()


def _add_sound(muxer: Any, stream: Any, samples: F32, rate_hz: int) -> None:
    size = 1 << 14
    for at in range(0, samples.shape[1], size):
        piece = np.ascontiguousarray(samples[:, at : at + size])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=LAYOUTS[len(samples)])
        frame.sample_rate = rate_hz
        frame.pts = at
        muxer.mux(stream.encode(frame))
    muxer.mux(stream.encode(None))


def _add_pictures(muxer: Any, *, still: bool) -> None:
    stream = muxer.add_stream("mjpeg" if still else "mpeg4", rate=1 if still else 10)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuvj420p" if still else "yuv420p"
    if still:
        stream.disposition = av.stream.Disposition.attached_pic
    for index in range(1 if still else 20):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 5 * index, np.uint8), format="rgb24")
        frame.pts = index
        muxer.mux(stream.encode(frame))
    muxer.mux(stream.encode(None))


def wav(samples: npt.NDArray[Any], rate_hz: int, *, tag: int, data_size: int | None = None) -> bytes:
    """Writes (channels, n) samples of any dtype as they are; `data_size` makes the header lie."""
    channels, bits = len(samples), 8 * samples.dtype.itemsize
    data = np.ascontiguousarray(samples.T).tobytes()
    said = len(data) if data_size is None else data_size
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block, block, bits)
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", said)
    return b"RIFF" + struct.pack("<I", min(said + len(head), 0xFFFFFFFF)) + head + data


def id3(frame_name: bytes, text: bytes) -> bytes:
    """Gives an ID3v2.3 tag with one text frame, said to be Latin-1, whose bytes are taken as they are."""
    frame = frame_name + struct.pack(">I", len(text) + 1) + b"\0\0" + b"\0" + text
    size = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame
