"""AudioSentimentService over a real port: answers, order, and every limit that its .proto states."""

import asyncio
import io
import threading
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from deepsing.rpc.channel import open_channel
from deepsing.rpc.errors import parse_error_info
from deepsing.runtime.server import GrpcServer, Service
from deepsing.runtime.settings import ServerSettings
from deepsing.v1 import audio_sentiment_pb2, sentiment_pb2
from deepsing.v1 import audio_sentiment_pb2_grpc as stubs
from services.audio_sentiment import rpc
from services.audio_sentiment.models import open_models
from services.audio_sentiment.settings import Settings
from tests.unit.audio_sentiment.signals import chords

Stub = stubs.AudioSentimentServiceStub


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[Stub]:
    async def open_servicer() -> rpc.AudioSentimentServicer:
        return rpc.AudioSentimentServicer(open_models(settings), settings)

    service = Service(rpc.SERVICE.name, rpc.SERVICE.grpc_name, rpc.SERVICE.register, open_servicer)
    server = GrpcServer(service, ServerSettings(port=0))
    await server.start()
    async with open_channel(server.address) as channel:
        yield Stub(channel)
    await server.drain(0)


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with serve(Settings(max_sessions=2)) as stub:
        yield stub


def config(**fields: object) -> audio_sentiment_pb2.AnalyzeRequest:
    return audio_sentiment_pb2.AnalyzeRequest(config=audio_sentiment_pb2.AnalyzeConfig(**fields))


def chunk(data: bytes) -> audio_sentiment_pb2.AnalyzeRequest:
    return audio_sentiment_pb2.AnalyzeRequest(audio_chunk=data)


def pcm_config(rate_hz: int = 16_000, **fields: object) -> audio_sentiment_pb2.AnalyzeRequest:
    form = sentiment_pb2.SAMPLE_FORMAT_F32LE
    audio = sentiment_pb2.AudioFormat(sample_format=form, sample_rate_hz=rate_hz, channel_count=1)
    return config(audio_format=audio, **fields)


def wav(seconds: float, rate_hz: int = 44_100) -> bytes:
    samples = np.interp(np.arange(round(seconds * rate_hz)) / rate_hz, np.arange(8 * 16_000) / 16_000, chords(8.0))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def pieces(data: bytes, size: int = 65_536) -> Iterator[audio_sentiment_pb2.AnalyzeRequest]:
    return (chunk(data[at : at + size]) for at in range(0, len(data), size))


async def answers(
    stub: Stub, requests: list[audio_sentiment_pb2.AnalyzeRequest]
) -> list[audio_sentiment_pb2.AnalyzeResponse]:
    return [answer async for answer in stub.Analyze(iter(requests), timeout=30)]


async def refusal(
    stub: Stub, requests: list[audio_sentiment_pb2.AnalyzeRequest]
) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answers(stub, requests)
    reason, metadata = parse_error_info(caught.value)
    return caught.value.code(), reason, metadata


async def test_points_come_in_order_and_the_summary_last(stub: Stub) -> None:
    *points, last = await answers(stub, [config(), *pieces(wav(3.7))])
    assert [answer.point.time_us for answer in points] == [500_000 * k for k in range(8)]
    summary = last.summary
    assert (summary.point_count, summary.song.duration_us, summary.song.sample_rate_hz) == (8, 3_700_000, 44_100)
    assert (summary.song.codec, summary.song.container, summary.song.channel_count) == ("pcm_s16le", "wav", 1)
    assert len(summary.model_digest) == 64
    for answer in points:
        feeling = answer.point.sentiment
        assert -1 <= feeling.arousal <= 1
        assert -1 <= feeling.valence <= 1
        assert 0 < answer.point.loudness <= 1
        assert 0 <= answer.point.onset_strength <= 1


async def test_the_model_says_what_is_typical_and_how_far_readings_trail(stub: Stub) -> None:
    model = await stub.GetModel(audio_sentiment_pb2.GetModelRequest())
    live, whole = model.hearings
    assert (live.hearing, whole.hearing) == (audio_sentiment_pb2.HEARING_LIVE, audio_sentiment_pb2.HEARING_WHOLE)
    assert (live.typical_mean.arousal, live.typical_mean.valence) == pytest.approx((0.0436, 0.0936))
    assert (live.typical_spread.arousal, live.typical_spread.valence) == pytest.approx((0.4124, 0.3216))
    assert (whole.typical_mean.arousal, whole.typical_mean.valence) == pytest.approx((0.0218, 0.0907))
    assert (live.lag_us, live.look_ahead_us) == (1_200_000, 0)
    assert (whole.lag_us, whole.look_ahead_us) == (0, 28_000_000)
    assert (model.typical_mean, model.typical_spread) == (live.typical_mean, live.typical_spread)
    assert model.lag_us == live.lag_us


async def test_whole_and_live_hear_the_same_windows_and_a_song_as_a_whole_alike(stub: Stub) -> None:
    heard = []
    for hearing in ("UNSPECIFIED", "LIVE", "WHOLE"):
        number = audio_sentiment_pb2.Hearing.Value(f"HEARING_{hearing}")
        *points, last = await answers(stub, [config(hearing=number), *pieces(wav(3.7))])
        heard.append(([answer.point for answer in points], last.summary))
    (unset, _), (live, live_summary), (whole, whole_summary) = heard
    assert unset == live
    assert [point.time_us for point in whole] == [point.time_us for point in live]
    assert [point.loudness for point in whole] == [point.loudness for point in live]
    assert [point.sentiment for point in whole] != [point.sentiment for point in live]
    assert whole[-1].duration_us == 200_000
    assert whole_summary.sentiment == live_summary.sentiment
    assert whole_summary.tempo.beats_per_minute == pytest.approx(live_summary.tempo.beats_per_minute, rel=0.04)
    assert {len(point.rhythm.low_onsets) for point in whole[:-1]} == {50}
    assert [beat.time_us for point in live for beat in point.rhythm.beats] == sorted(
        beat.time_us for point in live for beat in point.rhythm.beats
    )
    assert {0.5 <= point.certainty.arousal <= 1 for point in whole} == {True}


async def test_a_hearing_that_is_not_listed_is_refused(stub: Stub) -> None:
    code, reason, metadata = await refusal(stub, [config(hearing=7), *pieces(wav(1.0))])
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ENUM_UNKNOWN")
    assert metadata == {"field": "hearing", "value": "7"}


async def test_a_song_is_read_by_the_model_that_is_asked_for_or_not_at_all(stub: Stub) -> None:
    model = await stub.GetModel(audio_sentiment_pb2.GetModelRequest())
    *_, last = await answers(stub, [config(model_digest=model.digest), *pieces(wav(1.0))])
    assert last.summary.model_digest == model.digest
    code, reason, metadata = await refusal(stub, [config(model_digest="9ab0"), *pieces(wav(1.0))])
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH")
    assert metadata == {"field": "model_digest", "value": "9ab0"}


async def test_points_do_not_depend_on_how_the_song_is_cut(stub: Stub) -> None:
    song = wav(4.2)
    assert await answers(stub, [config(), *pieces(song)]) == await answers(stub, [config(), *pieces(song, 1000)])


async def test_the_last_point_says_how_short_its_window_is(stub: Stub) -> None:
    *points, _ = await answers(stub, [config(), *pieces(wav(1.75))])
    assert [answer.point.duration_us for answer in points] == [500_000, 500_000, 500_000, 250_000]


@pytest.mark.parametrize(("samples", "points"), [(22_050, 1), (22_051, 2), (44_100, 2), (44_101, 3)])
async def test_the_number_of_points_follows_the_songs_own_samples(samples: int, points: int, stub: Stub) -> None:
    *found, last = await answers(stub, [config(), *pieces(wav(samples / 44_100))])
    assert len(found) == last.summary.point_count == points
    assert last.summary.song.sample_count == samples


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 192_000])
async def test_a_live_point_comes_as_soon_as_its_half_second_has_arrived(rate_hz: int, stub: Stub) -> None:
    call = stub.Analyze(timeout=30)
    await call.write(pcm_config(rate_hz, live=True))
    data = np.resize(chords(2.0), rate_hz // 2).astype("<f4").tobytes()
    for k in range(3):
        for request in pieces(data):
            await call.write(request)
        answer = await asyncio.wait_for(call.read(), 10)
        assert answer.point.time_us == 500_000 * k
    await call.done_writing()
    assert (await call.read()).summary.point_count == 3


async def test_silence_is_calm_and_warned_of(stub: Stub) -> None:
    *points, last = await answers(stub, [pcm_config(), *pieces(bytes(4 * 32_000))])
    assert {round(answer.point.sentiment.arousal, 6) for answer in points} == {-0.6}
    assert {answer.point.sentiment.valence for answer in points} == {0.0}
    assert [warning.kind for warning in last.summary.song.warnings] == [sentiment_pb2.SONG_WARNING_KIND_SILENT]


INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("requests", "reason"),
    [
        ([], "CONFIG_MISSING"),
        ([chunk(b"x")], "CONFIG_MISSING"),
        ([audio_sentiment_pb2.AnalyzeRequest()], "CONFIG_MISSING"),
        ([config(), audio_sentiment_pb2.AnalyzeRequest()], "CONFIG_MISSING"),
        ([config(), config()], "CONFIG_DUPLICATE"),
        ([config(), chunk(bytes(65_537))], "CHUNK_TOO_LARGE"),
        ([config()], "SONG_EMPTY"),
        ([config(), chunk(b"no song at all" * 100)], "SONG_UNREADABLE"),
        ([config(), *pieces(wav(0.2))], "SONG_TOO_SHORT"),
        ([config(smoothing_us=-1)], "SMOOTHING_OUT_OF_RANGE"),
        ([config(smoothing_us=60_000_001)], "SMOOTHING_OUT_OF_RANGE"),
        ([config(context_us=-1)], "CONTEXT_OUT_OF_RANGE"),
        ([config(context_us=600_000_001)], "CONTEXT_OUT_OF_RANGE"),
        ([config(audio_format=sentiment_pb2.AudioFormat(sample_format=99))], "ENUM_UNKNOWN"),
        ([pcm_config(7_999)], "AUDIO_FORMAT_INVALID"),
        ([pcm_config(192_001)], "AUDIO_FORMAT_INVALID"),
        (
            [config(audio_format=sentiment_pb2.AudioFormat(sample_format=1, sample_rate_hz=8000))],
            "AUDIO_FORMAT_INVALID",
        ),
    ],
)
async def test_what_breaks_a_limit_is_refused_with_its_reason(
    requests: list[audio_sentiment_pb2.AnalyzeRequest], reason: str, stub: Stub
) -> None:
    code, found, metadata = await refusal(stub, requests)
    assert (code, found) == (INVALID, reason)
    assert metadata["field"]


async def test_limits_are_inclusive(stub: Stub) -> None:
    extremes = config(smoothing_us=60_000_000, context_us=600_000_000)
    assert len(await answers(stub, [extremes, *pieces(wav(0.5))])) == 2


async def test_a_song_of_too_many_bytes_is_refused(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "MAX_SONG_BYTES", 100_000)
    assert (await refusal(stub, [config(), *pieces(wav(3.0))]))[:2] == (INVALID, "SONG_TOO_LARGE")


async def test_a_song_of_too_many_hours_is_refused(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.audio_sentiment.song_decoder.MAX_SONG_S", 2.0)
    assert (await refusal(stub, [config(), *pieces(wav(3.0))]))[:2] == (INVALID, "SONG_TOO_LONG")


async def test_a_stalled_upload_is_ended() -> None:
    async with serve(Settings(upload_stall_s=0.3)) as stub:
        call = stub.Analyze(timeout=30)
        await call.write(config())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert parse_error_info(caught.value)[0] == "UPLOAD_STALLED"


async def test_empty_chunks_keep_no_upload_alive() -> None:
    async def send() -> AsyncIterator[audio_sentiment_pb2.AnalyzeRequest]:
        yield config()
        while True:
            yield chunk(b"")
            await asyncio.sleep(0.05)

    async with serve(Settings(upload_stall_s=0.3)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Analyze(send(), timeout=30).read()
    assert parse_error_info(caught.value)[0] == "UPLOAD_STALLED"


async def test_progress_says_how_much_audio_is_decoded_before_its_window_is_over(stub: Stub) -> None:
    call = stub.Analyze(timeout=30)
    await call.write(pcm_config(live=True, send_progress=True))
    for number in range(1, 4):
        await call.write(chunk(chords(0.1).astype("<f4").tobytes()))
        progress = (await asyncio.wait_for(call.read(), 10)).progress
        assert (progress.heard_us, progress.byte_count) == (number * 100_000, number * 6_400)
    await call.write(chunk(chords(0.2).astype("<f4").tobytes()))
    assert (await call.read()).progress.heard_us == 500_000
    assert (await call.read()).point.time_us == 0
    await call.done_writing()
    assert (await call.read()).summary.point_count == 1


async def test_without_being_asked_there_is_no_progress(stub: Stub) -> None:
    sound = chords(1.0).astype("<f4").tobytes()
    found = await answers(stub, [pcm_config(live=True), *pieces(sound, 6_400)])
    assert [answer.WhichOneof("payload") for answer in found] == ["point", "point", "summary"]


async def test_songs_of_all_streams_share_the_disk() -> None:
    async with serve(Settings(spool_bytes=100_000)) as stub:
        call = stub.Analyze(timeout=30)
        await call.write(pcm_config(live=True))
        await call.write(chunk(chords(0.5).astype("<f4").tobytes()))
        assert (await call.read()).point.time_us == 0
        code, reason, _ = await refusal(stub, [config(), *pieces(wav(8.0))])
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
        await call.done_writing()
        assert (await call.read()).HasField("summary")
        await answers(stub, [config(), *pieces(wav(0.5))])


async def test_one_session_too_many_is_refused_with_a_time_to_retry(stub: Stub) -> None:
    calls = [stub.Analyze(timeout=30) for _ in range(2)]
    half_second = chunk(chords(0.5).astype("<f4").tobytes())
    for call in calls:
        await call.write(pcm_config(live=True))
        await call.write(half_second)
        assert (await call.read()).point.time_us == 0  # the session is open now
    code, reason, _ = await refusal(stub, [config()])
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSIONS_EXHAUSTED")
    for call in calls:
        await call.done_writing()
        assert (await call.read()).HasField("summary")


async def test_a_cancelled_call_gives_its_session_and_its_threads_back(stub: Stub) -> None:
    for _ in range(4):  # more than may be open at once
        call = stub.Analyze(timeout=30)
        await call.write(pcm_config(live=True))
        await call.write(chunk(chords(0.5).astype("<f4").tobytes()))
        await call.read()
        call.cancel()
        assert await call.code() is grpc.StatusCode.CANCELLED
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith("decode")]:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()
    await answers(stub, [config(), *pieces(wav(0.5))])
