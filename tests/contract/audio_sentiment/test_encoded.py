"""Encoded songs over a real port: an index at the end, a film without sound, a song that arrives slowly."""

import asyncio
import io
from collections.abc import AsyncIterator

import av
import grpc
import numpy as np
import pytest

from deepsing.rpc.channel import open_channel
from deepsing.rpc.errors import parse_error_info
from deepsing.runtime.server import GrpcServer
from deepsing.runtime.settings import ServerSettings
from deepsing.v1 import audio_sentiment_pb2
from deepsing.v1 import audio_sentiment_pb2_grpc as stubs
from services.audio_sentiment.rpc import SERVICE
from tests.unit.audio_sentiment.signals import chords

Stub = stubs.AudioSentimentServiceStub
SECONDS = 6.0


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    server = GrpcServer(SERVICE, ServerSettings(port=0))
    await server.start()
    async with open_channel(server.address) as channel:
        yield Stub(channel)
    await server.drain(0)


def encode(container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=48_000, layout="mono")
        samples = np.interp(np.arange(int(SECONDS * 48_000)) / 3, np.arange(int(SECONDS * 16_000)), chords(SECONDS))
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for one in (frame, None):
            out.mux(stream.encode(one))
    return file.getvalue()


def film_without_sound() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for one in (*(av.VideoFrame(64, 64, "yuv420p") for _ in range(5)), None):
            out.mux(stream.encode(one))
    return file.getvalue()


def requests(song: bytes, **fields: object) -> list[audio_sentiment_pb2.AnalyzeRequest]:
    config = audio_sentiment_pb2.AnalyzeRequest(config=audio_sentiment_pb2.AnalyzeConfig(**fields))
    parts = (song[at : at + 4096] for at in range(0, len(song), 4096))
    return [config, *(audio_sentiment_pb2.AnalyzeRequest(audio_chunk=part) for part in parts)]


async def reason(stub: Stub, sent: list[audio_sentiment_pb2.AnalyzeRequest]) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Analyze(iter(sent), timeout=30).read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return parse_error_info(caught.value)[0]


async def test_an_m4a_with_its_index_at_the_end_plays_as_a_file_but_not_live(stub: Stub) -> None:
    song = encode("mp4", "aac")
    answers = [answer async for answer in stub.Analyze(iter(requests(song)), timeout=30)]
    assert answers[-1].summary.song.codec == "aac"
    assert answers[-1].summary.point_count == len(answers) - 1 >= 12
    assert await reason(stub, requests(song, live=True)) == "SONG_UNREADABLE"


async def test_a_film_without_sound_has_no_audio(stub: Stub) -> None:
    assert await reason(stub, requests(film_without_sound())) == "SONG_NO_AUDIO"


async def test_points_of_an_encoded_song_come_before_its_end(stub: Stub) -> None:
    sent = requests(encode("matroska", "aac"), live=True)
    call = stub.Analyze(timeout=30)
    for request in sent[: len(sent) * 3 // 4]:
        await call.write(request)
    first = await asyncio.wait_for(call.read(), 10)
    assert first.point.time_us == 0
    for request in sent[len(sent) * 3 // 4 :]:
        await call.write(request)
    await call.done_writing()
    answers = []
    while (answer := await call.read()) is not grpc.aio.EOF:
        answers.append(answer)
    assert answers[-1].summary.point_count == len(answers)
    assert answers[-1].summary.song.container == "matroska,webm"
