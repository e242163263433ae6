"""How far live frames trail the sound: one session, real processes, sound sent in real time as it would be played."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from deepsing.cli.services import NAMES, LocalServices, free_ports
from deepsing.client import Client, StoryOptions
from deepsing.v1.composer_pb2 import Frame
from deepsing.v1.sentiment_pb2 import SAMPLE_FORMAT_S16LE, AudioFormat
from tests.bench.measurement import Measurement
from tests.bench.songs import RATE_HZ, chords

__all__ = ["live", "lags_s", "encoded", "raw"]

FPS, SIZE = 12, "256x256"
BLOCK = 960  # samples that a capture hands over at a time: 20 ms at 48 kHz
ENCODED_HZ = 48_000  # what Opus knows
AIM = "p99 <= 0.4"
FORMATS = {  # container: codec, and what keeps its muxer from holding sound back
    "mp3": ("libmp3lame", {"write_xing": "0", "id3v2_version": "0"}),
    "ogg": ("libopus", {"page_duration": "20000"}),
    "webm": ("libopus", {"live": "1", "cluster_time_limit": "100"}),
}


async def live(quick: bool) -> list[Measurement]:
    """Plays sound to a composer and times each frame against the sound that it shows."""
    seconds = 10.0 if quick else 40.0
    found = []
    async with (
        LocalServices(free_ports(dict.fromkeys(NAMES, 0))) as services,
        Client(services.targets["composer"], retries=0) as client,
    ):
        await lags_s(client, raw(2.0), raw_format())
        found += _measured("PCM", await lags_s(client, raw(seconds), raw_format()), seconds)
        for container in FORMATS:
            lags = await lags_s(client, encoded(container, seconds), None)
            found += _measured(container, lags, seconds)
    return found


def _measured(name: str, lags: list[float], seconds: float) -> list[Measurement]:
    lost = round(seconds * FPS) - len(lags)
    middle, high = (float(np.percentile(lags, share)) for share in (50, 99))
    label = f"live {name}, {len(lags)} frames"
    return [
        Measurement(f"{label}: lag p50", "s", [middle]),
        Measurement(f"{label}: lag p99", "s", [high], AIM),
        Measurement(f"{label}: lag, longest", "s", [max(lags)]),
        Measurement(f"{label}: lost", "frames", [lost], "0"),
    ]


def raw_format() -> AudioFormat:
    """Of what `raw` gives."""
    return AudioFormat(sample_format=SAMPLE_FORMAT_S16LE, sample_rate_hz=RATE_HZ, channel_count=1)


async def lags_s(client: Client, sound: Iterator[tuple[float, bytes]], form: AudioFormat | None) -> list[float]:
    """Sends sound as it would be played; returns what passed between the sound of each frame's time and the frame.

    Args:
        client: open, to a composer.
        sound: (seconds of sound that are over by then, bytes to send then).
        form: of raw samples; None is an encoded stream.
    """
    began = 0.0

    async def capture() -> AsyncIterator[bytes]:
        nonlocal began
        began = time.perf_counter()
        for over_s, chunk in sound:
            await asyncio.sleep(max(0.0, began + over_s - time.perf_counter()))
            if chunk:
                yield chunk

    lags = []
    options = StoryOptions(fps=FPS, size=SIZE, audio_format=form)
    async with aclosing(client.live(capture(), options)) as events:
        async for event in events:
            if isinstance(event, Frame):
                lags.append(time.perf_counter() - began - event.pts_us / 1e6)
    return lags


def raw(seconds: float) -> Iterator[tuple[float, bytes]]:
    """Raw samples in blocks of 20 ms."""
    samples, block = chords(seconds)[0], RATE_HZ // 50
    for end in range(block, samples.size + 1, block):
        yield end / RATE_HZ, samples[end - block : end].tobytes()


class _Wire(io.RawIOBase):
    """Takes what a muxer writes; cannot go back, as no network can."""

    def __init__(self) -> None:
        self.pending = bytearray()

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def write(self, piece: bytes) -> int:  # type: ignore[override]
        self.pending += piece
        return len(piece)

    def taken(self) -> bytes:
        piece = bytes(self.pending)
        self.pending.clear()
        return piece


def encoded(container: str, seconds: float) -> Iterator[tuple[float, bytes]]:
    """A live stream in a container of FORMATS, encoded block by block as the sound comes."""
    codec, options = FORMATS[container]
    samples = _at(ENCODED_HZ, chords(seconds)[0])
    wire = _Wire()
    with av.open(wire, "w", format=container, options={**options, "flush_packets": "1"}) as muxer:
        stream = muxer.add_stream(codec, rate=ENCODED_HZ, layout="mono")
        stream.bit_rate = 96_000
        for end in range(BLOCK, samples.size + 1, BLOCK):
            frame = av.AudioFrame.from_ndarray(samples[None, end - BLOCK : end], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = ENCODED_HZ, end - BLOCK, Fraction(1, ENCODED_HZ)
            muxer.mux(stream.encode(frame))
            yield end / ENCODED_HZ, wire.taken()
        muxer.mux(stream.encode(None))
    yield seconds, wire.taken()


def _at(rate_hz: int, samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Samples of RATE_HZ at another rate, by straight lines."""
    places = np.arange(int(samples.size * rate_hz / RATE_HZ)) * (RATE_HZ / rate_hz)
    return np.interp(places, np.arange(samples.size), samples).astype(np.int16)
