"""Whole sessions of the composer over real ports, with fakes of the other services."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import av
import grpc
import numpy as np
import pytest
from PIL import Image

from deepsing.rpc.errors import parse_error_info
from deepsing.rpc.workarounds import keep_status
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2
from tests.encoding import encode, tone
from tests.unit.composer.fakes import Stage, config, pcm, stage, upload

SONG = pcm(6.3)


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


async def compose_all(stub: Any, story: pb.StoryConfig, song: bytes = SONG) -> list[pb.ComposeResponse]:
    return [response async for response in stub.Compose(upload(story, song))]


def only(responses: list[pb.ComposeResponse], kind: str) -> list[Any]:
    return [getattr(r, kind) for r in responses if r.WhichOneof("payload") == kind]


async def expect_refusal(call: Any) -> tuple[grpc.StatusCode, str, str]:
    keep_status(call)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [response async for response in call]
    return caught.value.code(), parse_error_info(caught.value)[0], caught.value.details() or ""


async def test_a_story_has_every_frame_once_in_order_with_what_it_shows(composer: Stage) -> None:
    responses = await compose_all(composer.stub, config(style="auto"))
    frames, end = only(responses, "frame"), only(responses, "session_end")[0]
    assert responses[0].WhichOneof("payload") == "session_started"
    assert responses[-1].WhichOneof("payload") == "session_end"
    assert [frame.seq for frame in frames] == list(range(151))  # 6.3 s x 24 = 151.2
    assert end.frame_count == 151
    assert frames[24].pts_us == 1_000_000
    assert all(len(frame.image) == 64 * 64 * 3 for frame in frames)
    assert sum(weight.weight for weight in frames[0].concepts) == pytest.approx(1)
    assert frames[0].styles[0].weight == pytest.approx(0.6)
    assert len(only(responses, "affect_point")) == 13
    assert end.frames_digest == hashlib.sha256(b"".join(hashlib.sha256(f.image).digest() for f in frames)).hexdigest()
    assert end.song_digest == hashlib.sha256(SONG).hexdigest()
    assert dict(end.digests) == {"audio_sentiment": "aa", "translator": "bb", "engine": "cc", "style": "dd"}
    assert end.arousal.r > 0.7


async def test_equal_requests_make_equal_stories_and_seeds_differ(composer: Stage) -> None:
    ends = [only(await compose_all(composer.stub, config(seed=seed)), "session_end")[0] for seed in (1, 1, 2)]
    assert ends[0].frames_digest == ends[1].frames_digest
    assert ends[0].frames_digest != ends[2].frames_digest


async def test_files_are_whole_and_agree_with_the_frames(composer: Stage) -> None:
    kinds = [1, 2, 3, 4]
    responses = await compose_all(
        composer.stub, config(files=kinds, image_format=sentiment_pb2.IMAGE_FORMAT_NONE, title="a “song”")
    )
    files: dict[int, bytes] = {}
    for piece in only(responses, "story_file_chunk"):
        files[piece.kind] = files.get(piece.kind, b"") + piece.data
        if piece.last:
            assert piece.digest == hashlib.sha256(files[piece.kind]).hexdigest()
    assert only(responses, "frame") == []
    with av.open(BytesIO(files[1])) as video:
        picture, sound = video.streams.video[0], video.streams.audio[0]
        assert (picture.codec_context.name, picture.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert sound.codec_context.name == "aac"
        assert abs(float(picture.duration * picture.time_base) - 6.3) <= 1 / 48
        assert abs(float(sound.duration * sound.time_base) - 6.3) <= 0.03
        assert sum(1 for _ in video.decode(picture)) == 151
    assert files[1].index(b"moov") < files[1].index(b"mdat")
    manifest = json.loads(files[2])
    assert len(manifest["frames"]) == 151
    assert manifest["frames_digest"] == only(responses, "session_end")[0].frames_digest
    assert manifest["title"] == "a “song”"
    assert manifest["parameters"]["seed"] == 7
    for kind in (3, 4):
        assert Image.open(BytesIO(files[kind])).format == "PNG"


async def test_a_resumed_story_continues_with_equal_bytes(composer: Stage) -> None:
    whole = await compose_all(composer.stub, config())
    digest, images = whole[0].session_started.story_digest, [frame.image for frame in only(whole, "frame")]
    for seq in (1, 60, 151):
        resumed = await compose_all(composer.stub, config(resume=pb.ResumePoint(story_digest=digest, next_seq=seq)))
        frames = only(resumed, "frame")
        assert [frame.seq for frame in frames] == list(range(seq, 151))
        assert [frame.image for frame in frames] == images[seq:]


async def test_a_resume_point_of_another_story_is_refused(composer: Stage) -> None:
    started = (await compose_all(composer.stub, config()))[0].session_started
    point = pb.ResumePoint(story_digest=started.story_digest, next_seq=3)
    answer = await expect_refusal(composer.stub.Compose(upload(config(seed=8, resume=point), SONG)))
    assert answer[:2] == (grpc.StatusCode.FAILED_PRECONDITION, "RESUME_MISMATCH")
    point.next_seq = 152
    answer = await expect_refusal(composer.stub.Compose(upload(config(resume=point), SONG)))
    assert answer[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "RESUME_OUT_OF_RANGE")
    assert "151 frames" in answer[2]


async def test_a_part_of_a_song_has_the_frames_of_the_part(composer: Stage) -> None:
    responses = await compose_all(composer.stub, config(start_us=2_000_000, duration_us=1_500_000, files=[1]))
    assert len(only(responses, "frame")) == 36
    late = config(start_us=9_000_000)
    answer = await expect_refusal(composer.stub.Compose(upload(late, SONG)))
    assert answer[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "PART_OUT_OF_RANGE")


@pytest.mark.parametrize("mode", [pb.SENTIMENT_MODE_RELATIVE, pb.SENTIMENT_MODE_ADAPTIVE])
async def test_every_sentiment_mode_makes_a_whole_story(composer: Stage, mode: int) -> None:
    assert len(only(await compose_all(composer.stub, config(sentiment_mode=mode)), "frame")) == 151


async def test_calls_are_retried_until_a_service_is_back(composer: Stage) -> None:
    composer.generator.failures, composer.audio.fail_after = 3, 5
    whole = only(await compose_all(composer.stub, config()), "session_end")[0]
    again = only(await compose_all(composer.stub, config()), "session_end")[0]
    assert whole.frames_digest == again.frames_digest
    assert whole.frame_count == 151


async def test_a_generator_that_is_unavailable_for_too_long_is_named() -> None:
    async with stage(generator_target="127.0.0.1:1") as composer:
        code, reason, message = await expect_refusal(composer.stub.Compose(upload(config(), SONG)))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        assert message.startswith("generator does not answer")


async def test_a_caller_that_leaves_stops_the_generator_and_frees_the_session(composer: Stage) -> None:
    composer.generator.release = asyncio.Event()
    call = composer.stub.Compose(upload(config(), SONG))
    assert (await call.read()).HasField("session_started")
    await composer.generator.called.wait()
    call.cancel()
    async with asyncio.timeout(2):
        await composer.generator.cancelled.wait()
        await composer.servicer.idle.wait()


async def test_heartbeats_come_while_nothing_else_does() -> None:
    async with stage(heartbeat_s=0.05) as composer:
        composer.generator.release = asyncio.Event()
        beats = 0
        async for response in composer.stub.Compose(upload(config(), SONG)):
            beats += response.WhichOneof("payload") == "heartbeat"
            if beats == 3:
                composer.generator.release.set()
        assert beats >= 3


async def test_one_session_too_many_is_refused_with_a_time_to_retry() -> None:
    async with stage(max_sessions=0) as composer:
        answer = await expect_refusal(composer.stub.Compose(upload(config(), SONG)))
        assert answer[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSIONS_EXHAUSTED")


async def test_render_makes_the_same_story(composer: Stage) -> None:
    request = pb.RenderRequest(config=config(initial_credit=0), song=SONG)
    responses = [r.response async for r in composer.stub.Render(request)]
    whole = only(await compose_all(composer.stub, config()), "session_end")[0]
    assert only(responses, "session_end")[0].frames_digest == whole.frames_digest


async def test_probe_says_what_a_song_is_before_anything_is_painted(composer: Stage) -> None:
    song = encode(tone(3.25), 44_100, "mp3", "libmp3lame")

    async def requests() -> AsyncIterator[pb.ProbeRequest]:
        yield pb.ProbeRequest(config=pb.StoryConfig(start_us=1_000_000))
        yield pb.ProbeRequest(audio_chunk=song[:40_000])
        yield pb.ProbeRequest(audio_chunk=song[40_000:])

    answer = await composer.stub.Probe(requests())
    assert answer.song.duration_us == pytest.approx(3_250_000, abs=30_000)
    assert (answer.song.codec, answer.song.channel_count) == ("mp3float", 2)
    assert answer.frame_count == 54
    assert answer.song_digest == hashlib.sha256(song).hexdigest()
    assert composer.generator.calls == []


async def test_odd_frame_rates_and_wide_pictures(composer: Stage) -> None:
    rate, size = (
        sentiment_pb2.FrameRate(numerator=30000, denominator=1001),
        sentiment_pb2.Size(width_px=128, height_px=72),
    )
    responses = await compose_all(composer.stub, config(frame_rate=rate, size=size, files=[1]))
    frames = only(responses, "frame")
    assert len(frames) == 189  # 6.3 x 29.97 = 188.8
    assert np.frombuffer(frames[0].image, np.uint8).size == 128 * 72 * 3
