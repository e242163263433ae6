"""GeneratorService over a real port: answers, purity, and every limit that its .proto states."""

import asyncio
import io
import math
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
from PIL import Image

from deepsing.rpc.errors import parse_error_info
from deepsing.v1 import generator_pb2, sentiment_pb2
from tests.contract.generator.serving import Stub, make_request, open_tiny, serve


def noisy(count: int) -> list[float]:
    return np.random.default_rng(4).standard_normal((16, 4))[:count].ravel().tolist()


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    server, channel = await serve(open_tiny)
    async with channel:
        yield Stub(channel)
    await server.drain(0)


async def test_concepts_are_listed_with_their_engine(stub: Stub) -> None:
    answer = await stub.ListConcepts(generator_pb2.ListConceptsRequest())
    assert [concept.name for concept in answer.concepts] == ["calm lake", "storm", "fog"]
    assert answer.concepts[0].sentiment.arousal == pytest.approx(-0.5)
    assert answer.concepts[0].sentiment.valence == pytest.approx(0.6)
    assert (answer.engine.name, answer.engine.noise_size, answer.engine.native_size.width_px) == ("tiny", 4, 64)
    assert answer.engine.paint_rate == 12
    assert len(answer.engine.digest) == 64


async def test_styles_are_listed_with_their_digest(stub: Stub) -> None:
    answer = await stub.ListStyles(generator_pb2.ListStylesRequest())
    assert [style.name for style in answer.styles] == ["negative", "mirror"]
    assert len(answer.digest) == 64
    assert answer.paint_rate == 8


async def test_a_batch_comes_back_in_order_and_pictures_do_not_depend_on_it(stub: Stub) -> None:
    whole = await stub.Generate(make_request(16, noise=noisy(16)))
    part = await stub.Generate(make_request(3, noise=noisy(3)))
    assert [len(image) for image in whole.images] == [64 * 64 * 3] * 16
    assert len(set(whole.images)) == 16
    assert list(part.images) == list(whole.images[:3])
    assert (whole.size.width_px, whole.size.height_px) == (64, 64)
    assert whole.compute_us > 0
    assert whole.queue_wait_us >= 0


async def test_equal_requests_give_equal_bytes_while_others_paint(stub: Stub) -> None:
    answers = await asyncio.gather(*(stub.Generate(make_request(1 + n % 4, session_id=f"s{n % 3}")) for n in range(12)))
    assert len({answer.images[0] for answer in answers}) == 1


async def test_the_digest_of_the_answer_is_the_engines(stub: Stub) -> None:
    listed = await stub.ListConcepts(generator_pb2.ListConceptsRequest(engine="tiny"))
    assert (await stub.Generate(make_request(engine="tiny"))).engine_digest == listed.engine.digest


async def test_no_noise_is_zero_noise(stub: Stub) -> None:
    left_out, zeros = [await stub.Generate(make_request(noise=noise)) for noise in ([], [0.0] * 4)]
    moved = await stub.Generate(make_request(noise=[3.0] * 4, truncation=1))
    assert left_out.images == zeros.images != moved.images


@pytest.mark.parametrize(("image_format", "name"), [("JPEG", "JPEG"), ("PNG", "PNG")])
async def test_pictures_come_encoded_and_in_the_size_asked_for(stub: Stub, image_format: str, name: str) -> None:
    number = sentiment_pb2.ImageFormat.Value(f"IMAGE_FORMAT_{image_format}")
    size = sentiment_pb2.Size(width_px=320, height_px=180)
    answer = await stub.Generate(make_request(image_format=number, size=size))
    picture = Image.open(io.BytesIO(answer.images[0]))
    assert (picture.format, picture.size) == (name, (320, 180))
    assert answer.size == size


async def test_styles_restyle_the_rows_that_ask_for_it(stub: Stub) -> None:
    plain = await stub.Generate(make_request(2))
    styled = await stub.Generate(make_request(2, style_weights=[1, 0, 0, 0]))
    assert np.array_equal(np.frombuffer(styled.images[0], np.uint8), 255 - np.frombuffer(plain.images[0], np.uint8))
    assert styled.images[1] == plain.images[1]


SIZE = sentiment_pb2.Size
REFUSALS = [
    ("ENGINE_UNKNOWN", "engine is 'dalle'; choose one of: tiny", make_request(engine="dalle")),
    ("BATCH_EMPTY", "the batch is empty; send at least 1", make_request(0)),
    ("BATCH_TOO_LARGE", "the batch has 17 pictures; send at most 16", make_request(frame_count=17)),
    ("CLASS_WEIGHTS_SHAPE", "class_weights has 3 values; send 2 x 3 = 6", make_request(1, frame_count=2)),
    (
        "CLASS_WEIGHTS_NOT_SIMPLEX",
        "class weights of picture 0 sum to 1.4; send rows in [0, 1] that sum to 1",
        make_request(class_weights=[0.7, 0.7, 0]),
    ),
    ("NOISE_SHAPE", "noise has 3 values; send 1 x 4 = 4, or none", make_request(noise=[0] * 3)),
    (
        "NOISE_OUT_OF_RANGE",
        "noise of picture 0 holds nan; send finite values from -10 to 10",
        make_request(noise=[0, 0, 0, math.nan]),
    ),
    ("TRUNCATION_OUT_OF_RANGE", "truncation is 3; choose 0 to 1", make_request(truncation=3)),
    ("TRUNCATION_OUT_OF_RANGE", "truncation is nan; choose 0 to 1", make_request(truncation=math.nan)),
    ("STYLE_WEIGHTS_SHAPE", "style_weights has 3 values; send 1 x 2 = 2, or none", make_request(style_weights=[0] * 3)),
    (
        "STYLE_WEIGHTS_INVALID",
        "style weights of picture 0 sum to 2; send rows in [0, 1] that sum to at most 1",
        make_request(style_weights=[1, 1]),
    ),
    (
        "SIZE_OUT_OF_RANGE",
        "size is 255x256; choose even sides from 64 to 1920",
        make_request(size=SIZE(width_px=255, height_px=256)),
    ),
    (
        "SIZE_OUT_OF_RANGE",
        "size is 64x1922; choose even sides from 64 to 1920",
        make_request(size=SIZE(width_px=64, height_px=1922)),
    ),
    ("ENUM_UNKNOWN", "image_format is 4; choose RAW_RGB, JPEG or PNG", make_request(image_format=4)),
    ("ENUM_UNKNOWN", "priority is 9; choose OFFLINE or LIVE", make_request(priority=9)),
    ("QUALITY_OUT_OF_RANGE", "JPEG quality is 300; choose 1 to 100", make_request(jpeg_quality=300)),
    ("SESSION_ID_TOO_LONG", "session_id has 90 bytes; send at most 64", make_request(session_id="ä" * 45)),
]


@pytest.mark.parametrize(
    ("reason", "message", "request_"), REFUSALS, ids=[f"{r[0]}-{n}" for n, r in enumerate(REFUSALS)]
)
async def test_a_limit_is_refused_with_its_reason(
    stub: Stub, reason: str, message: str, request_: generator_pb2.GenerateRequest
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Generate(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (parse_error_info(caught.value)[0], caught.value.details()) == (reason, message)


async def test_the_concepts_of_an_unknown_engine_are_refused(stub: Stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListConcepts(generator_pb2.ListConceptsRequest(engine="dalle"))
    assert parse_error_info(caught.value) == ("ENGINE_UNKNOWN", {"field": "engine", "value": "dalle"})
