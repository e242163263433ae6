"""What the composer refuses: code, reason, and a message with rule, value and remedy."""

import math
from collections.abc import AsyncIterator

import grpc
import pytest

from deepsing.rpc.errors import FailedPrecondition, InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2
from services.composer.session.config import parse_config, story_digest
from services.composer.story.plan import ImageFormat
from tests.unit.composer.fakes import config, pcm, stage, upload
from tests.unit.composer.session.test_session import expect_refusal

RAW = {"sample_format": sentiment_pb2.SAMPLE_FORMAT_S16LE}
REFUSED = [
    (
        {"frame_rate": sentiment_pb2.FrameRate(numerator=240, denominator=1)},
        "FRAME_RATE_OUT_OF_RANGE",
        "240; choose 1 to 60",
    ),
    ({"frame_rate": sentiment_pb2.FrameRate(numerator=1, denominator=2)}, "FRAME_RATE_OUT_OF_RANGE", "1/2"),
    ({"frame_rate": sentiment_pb2.FrameRate(numerator=24, denominator=0)}, "FRAME_RATE_OUT_OF_RANGE", "24/0"),
    (
        {"size": sentiment_pb2.Size(width_px=255, height_px=256)},
        "SIZE_OUT_OF_RANGE",
        "255x256; choose even sides from 64",
    ),
    ({"size": sentiment_pb2.Size(width_px=62, height_px=256)}, "SIZE_OUT_OF_RANGE", "62x256"),
    ({"size": sentiment_pb2.Size(width_px=256, height_px=1922)}, "SIZE_OUT_OF_RANGE", "1922"),
    ({"style_strength": 7}, "STYLE_STRENGTH_OUT_OF_RANGE", "style strength is 7; choose 0 to 1"),
    ({"style_strength": math.nan}, "STYLE_STRENGTH_OUT_OF_RANGE", "nan"),
    ({"motion": 3}, "MOTION_OUT_OF_RANGE", "motion is 3; choose 0 to 1"),
    ({"react": -0.5}, "REACT_OUT_OF_RANGE", "react is -0.5; choose 0 to 1"),
    ({"paint_rate": 90}, "PAINT_RATE_OUT_OF_RANGE", "paint rate is 90; choose 0 to 60"),
    ({"paint_rate": math.inf}, "PAINT_RATE_OUT_OF_RANGE", "inf"),
    ({"truncation": -0.1}, "TRUNCATION_OUT_OF_RANGE", "-0.1"),
    ({"jpeg_quality": 101}, "QUALITY_OUT_OF_RANGE", "101; choose 1 to 100"),
    ({"start_us": -1}, "PART_OUT_OF_RANGE", "choose 0 or later"),
    ({"duration_us": 499_999}, "PART_OUT_OF_RANGE", "at least 0.5 s"),
    ({"files": [1, 2, 1]}, "FILES_INVALID", "VIDEO twice"),
    ({"files": [1], "pacing": pb.PACING_LIVE}, "FILES_INVALID", "live"),
    ({"engine": "x" * 201}, "ENGINE_UNKNOWN", "engine has 201 characters; no name has more than 200"),
    ({"translator": "x" * 201}, "TRANSLATOR_UNKNOWN", "no name has more than 200"),
    ({"style": "x" * 201}, "STYLE_UNKNOWN", "no name has more than 200"),
    ({"themes": ["x" * 5_000_000]}, "MESSAGE_TOO_LARGE", "bytes; send at most 4194304"),
    ({"title": "x" * 201}, "TITLE_TOO_LONG", "201 characters; send at most 200"),
    ({"sentiment_mode": 2, "pacing": pb.PACING_LIVE}, "MODE_NEEDS_WHOLE_SONG", "adaptive"),
    ({"sentiment_mode": 99}, "ENUM_UNKNOWN", "sentiment_mode is 99"),
    ({"image_format": 99}, "ENUM_UNKNOWN", "image_format is 99"),
    ({"pacing": 99}, "ENUM_UNKNOWN", "pacing is 99"),
    ({"files": [0]}, "ENUM_UNKNOWN", "files is 0"),
    ({"files": [99]}, "ENUM_UNKNOWN", "files is 99"),
    ({"audio_format": sentiment_pb2.AudioFormat(sample_format=99)}, "ENUM_UNKNOWN", "sample_format is 99"),
    ({"audio_format": sentiment_pb2.AudioFormat(**RAW, sample_rate_hz=4000)}, "AUDIO_FORMAT_INVALID", "4000 Hz"),
    (
        {"audio_format": sentiment_pb2.AudioFormat(**RAW, sample_rate_hz=8000, channel_count=9)},
        "AUDIO_FORMAT_INVALID",
        "9",
    ),
]


@pytest.mark.parametrize(("fields", "reason", "words"), REFUSED)
def test_a_config_out_of_range_is_refused(fields: dict[str, object], reason: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_config(pb.StoryConfig(**fields))
    assert caught.value.reason_name == reason
    assert words in str(caught.value)


@pytest.mark.parametrize("field", ["story_digest", "song_digest"])
def test_a_digest_that_is_longer_than_any_is_refused(field: str) -> None:
    with pytest.raises(FailedPrecondition, match="has 65 characters; send the 64 of SessionStarted") as caught:
        parse_config(pb.StoryConfig(resume=pb.ResumePoint(**{field: "0" * 65})))
    assert caught.value.reason_name == "RESUME_MISMATCH"


async def test_a_name_that_is_longer_than_any_is_refused_before_anybody_is_asked() -> None:
    async with stage(patience_s=0.2) as composer:
        answer = await expect_refusal(composer.stub.Compose(upload(config(engine="x" * (5 << 20)), pcm(1.0))))
        assert answer[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")
        assert composer.generator.calls == []


def test_an_empty_config_has_the_documented_defaults() -> None:
    plan = parse_config(pb.StoryConfig())
    assert (plan.rate, plan.size, plan.style, plan.mode, plan.live) == (24, None, "none", "absolute", False)
    assert (plan.style_strength, plan.truncation, plan.jpeg_quality) == (0.6, 0.35, 90)
    assert (plan.motion, plan.react, plan.paint_rate) == (0.5, 0.6, 0)
    assert (plan.image_format, plan.audio_format, plan.resume, plan.files) == (ImageFormat.JPEG, None, None, ())


def test_credit_files_and_resume_do_not_change_a_storys_digest_but_the_seed_does() -> None:
    digests = {"engine": "x"}
    plain = story_digest(config(), digests, 12)
    resume = pb.ResumePoint(next_seq=4)
    assert story_digest(config(initial_credit=1, files=[1], resume=resume, title="t"), digests, 12) == plain
    assert story_digest(config(seed=8), digests, 12) != plain
    assert story_digest(config(), {"engine": "y"}, 12) != plain
    assert story_digest(config(), digests, 2) != plain, "an engine that asks for fewer pictures makes other frames"
    assert story_digest(config(motion=0), digests, 12) != plain
    assert story_digest(config(react=0), digests, 12) != plain


def test_a_zero_of_motion_is_none_and_not_the_default() -> None:
    plan = parse_config(pb.StoryConfig(motion=0, react=0))
    assert (plan.motion, plan.react) == (0, 0)


async def stream(*requests: pb.ComposeRequest) -> AsyncIterator[pb.ComposeRequest]:
    for request in requests:
        yield request


CONFIG, AUDIO = pb.ComposeRequest(config=config()), pb.ComposeRequest(audio_chunk=pcm(1))
END = pb.ComposeRequest(end_of_audio=pb.EndOfAudio())
SEQUENCES = [
    ((), "CONFIG_MISSING"),
    ((AUDIO, CONFIG), "CONFIG_MISSING"),
    ((pb.ComposeRequest(),), "CONFIG_MISSING"),
    ((CONFIG, pb.ComposeRequest()), "CONFIG_MISSING"),
    ((CONFIG, AUDIO, CONFIG), "CONFIG_DUPLICATE"),
    ((CONFIG, pb.ComposeRequest(audio_chunk=bytes(65_537))), "CHUNK_TOO_LARGE"),
    ((CONFIG, AUDIO, END, AUDIO), "AUDIO_AFTER_END"),
    ((CONFIG, pb.ComposeRequest(credit=0)), "CREDIT_OUT_OF_RANGE"),
    ((CONFIG, pb.ComposeRequest(credit=1_000_001)), "CREDIT_OUT_OF_RANGE"),
]


@pytest.mark.parametrize(("requests", "reason"), SEQUENCES)
async def test_messages_out_of_order_are_refused(requests: tuple[pb.ComposeRequest, ...], reason: str) -> None:
    async with stage() as composer:
        answer = await expect_refusal(composer.stub.Compose(stream(*requests)))
        assert answer[:2] == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert composer.servicer.sessions == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"style": "x"}, "STYLE_UNKNOWN"),
        ({"translator": "x"}, "TRANSLATOR_UNKNOWN"),
        ({"engine": "x"}, "ENGINE_UNKNOWN"),  # the generator has it, the translator has no table of it
    ],
)
async def test_names_that_no_service_knows_are_refused_with_those_that_exist(
    fields: dict[str, str], reason: str
) -> None:
    async with stage() as composer:
        answer = await expect_refusal(composer.stub.Compose(upload(config(**fields), pcm(1))))
        assert answer[:2] == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        assert "one of:" in answer[2]


async def test_a_song_over_the_limit_is_refused() -> None:
    async with stage(max_song_bytes=100_000) as composer:
        answer = await expect_refusal(composer.stub.Compose(upload(config(), pcm(10))))
        assert answer[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "SONG_TOO_LARGE")


async def test_render_takes_at_most_24_mib() -> None:
    async with stage() as composer:
        request = pb.RenderRequest(config=config(), song=bytes(24 * 2**20 + 1))
        answer = await expect_refusal(composer.stub.Render(request))
        assert answer[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "SONG_TOO_LARGE")
