"""How fast audio is analysed, and how much memory that takes, for songs of a minute to an hour."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measurement import Measurement
from bench.processes import RunningService, run_service
from bench.songs import make_long_song
from deepsing.rpc.channel import open_channel
from deepsing.v1.audio_sentiment_pb2 import AnalyzeConfig, AnalyzeRequest
from deepsing.v1.audio_sentiment_pb2_grpc import AudioSentimentServiceStub

__all__ = ["measure_listening"]

CHUNK_BYTES = 65_536
MIB = 2**20


async def measure_listening(quick: bool) -> list[Measurement]:
    """Analyses songs of 1, 10 and 60 minutes, each in a fresh process so that peaks are its own."""
    lengths = {1: 1, 10: 1} if quick else {1: 3, 10: 2, 60: 1}
    found = []
    with TemporaryDirectory(prefix="deepsing-bench-") as folder:
        for minutes, repeats in lengths.items():
            song = make_long_song(minutes, Path(folder))
            speeds, peaks = [], []
            for _ in range(repeats):
                async with run_service("audio_sentiment") as service:
                    speeds.append(await _measure_speed(service, song))
                    peaks.append(service.peak_bytes() / MIB)
            found.append(Measurement(f"analysis, {minutes} min of audio", "x real time", speeds))
            aim = "< 300" if minutes == 60 else ""
            found.append(Measurement(f"peak memory of it, {minutes} min", "MiB", peaks, aim))
    return found


async def _measure_speed(service: RunningService, song: Path) -> float:
    """Seconds of audio analysed a second."""
    async with open_channel(service.target) as channel:
        began = time.perf_counter()
        answers = [answer async for answer in AudioSentimentServiceStub(channel).Analyze(_iter_requests(song))]
        elapsed_s = time.perf_counter() - began
    return float(answers[-1].summary.song.duration_us) / 1e6 / elapsed_s


async def _iter_requests(song: Path) -> AsyncIterator[AnalyzeRequest]:
    yield AnalyzeRequest(config=AnalyzeConfig())
    with song.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield AnalyzeRequest(audio_chunk=chunk)
