"""How far live frames trail the sound: one session, real processes, sound sent in real time as it would be played."""

import io
from collections.abc import Iterator
from fractions import Fraction
from functools import partial

import av
import numpy as np
import numpy.typing as npt

from bench.measurement import Measurement
from bench.songs import RATE_HZ, chords
from bench.watching import watch_session
from deepsing.client import Client, StoryOptions
from deepsing.local.services import NAMES, LocalServices, find_free_ports
from deepsing.v1.sentiment_pb2 import SAMPLE_FORMAT_S16LE, AudioFormat

__all__ = ["measure_live", "iter_encoded", "iter_raw", "raw_format"]

FPS, SIZE = 12, "256x256"
BLOCK = 960  # samples that a capture hands over at a time: 20 ms at 48 kHz
ENCODED_HZ = 48_000  # what Opus knows
AIM = "<= 0.4"
FORMATS = {  # container: codec, and what keeps its muxer from holding sound back
    "mp3": ("libmp3lame", {"write_xing": "0", "id3v2_version": "0"}),
    "ogg": ("libopus", {"page_duration": "20000"}),
    "webm": ("libopus", {"live": "1", "cluster_time_limit": "100"}),
}


async def measure_live(quick: bool) -> list[Measurement]:
    """Plays sound to a composer and times each frame against the sound that it shows."""
    seconds = 10.0 if quick else 40.0
    found = []
    async with (
        LocalServices(find_free_ports(dict.fromkeys(NAMES, 0))) as services,
        Client(services.targets["composer"], retries=0) as client,
    ):
        samples = StoryOptions(fps=FPS, size=SIZE, audio_format=raw_format())
        await watch_session(partial(client.live, options=samples), iter_raw(2.0))
        seen = await watch_session(partial(client.live, options=samples), iter_raw(seconds))
        found += seen.measurements("live PCM", AIM, "0")
        for container in FORMATS:
            open_session = partial(client.live, options=StoryOptions(fps=FPS, size=SIZE))
            seen = await watch_session(open_session, iter_encoded(container, seconds))
            found += seen.measurements(f"live {container}", AIM, "0")
    return found


def raw_format() -> AudioFormat:
    """Of what `iter_raw` gives."""
    return AudioFormat(sample_format=SAMPLE_FORMAT_S16LE, sample_rate_hz=RATE_HZ, channel_count=1)


def iter_raw(seconds: float) -> Iterator[tuple[float, bytes]]:
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

    def take(self) -> bytes:
        piece = bytes(self.pending)
        self.pending.clear()
        return piece


def iter_encoded(container: str, seconds: float) -> Iterator[tuple[float, bytes]]:
    """A live stream in a container of FORMATS, encoded block by block as the sound comes."""
    codec, options = FORMATS[container]
    samples = _resample(ENCODED_HZ, chords(seconds)[0])
    wire = _Wire()
    with av.open(wire, "w", format=container, options={**options, "flush_packets": "1"}) as muxer:
        stream = muxer.add_stream(codec, rate=ENCODED_HZ, layout="mono")
        stream.bit_rate = 96_000
        for end in range(BLOCK, samples.size + 1, BLOCK):
            frame = av.AudioFrame.from_ndarray(samples[None, end - BLOCK : end], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = ENCODED_HZ, end - BLOCK, Fraction(1, ENCODED_HZ)
            muxer.mux(stream.encode(frame))
            yield end / ENCODED_HZ, wire.take()
        muxer.mux(stream.encode(None))
    yield seconds, wire.take()


def _resample(rate_hz: int, samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Samples of RATE_HZ at another rate, by straight lines."""
    places = np.arange(int(samples.size * rate_hz / RATE_HZ)) * (RATE_HZ / rate_hz)
    return np.interp(places, np.arange(samples.size), samples).astype(np.int16)
