"""TranslatorService.ReadPictures over a real port: what is read, and every limit that its .proto states."""

import asyncio
import io
import json
import struct
import threading
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
from PIL import Image

from deepsing.rpc.channel import open_channel
from deepsing.rpc.errors import parse_error_info
from deepsing.runtime.server import GrpcServer, Service
from deepsing.runtime.settings import ServerSettings
from deepsing.v1 import translator_pb2 as tr
from deepsing.v1 import translator_pb2_grpc
from services.translator import rpc
from services.translator.catalogue import EMBEDDED
from services.translator.judge import service as judging
from services.translator.judge.reader import PictureReader, open_reader

Stub = translator_pb2_grpc.TranslatorServiceStub


@asynccontextmanager
async def serving() -> AsyncIterator[Stub]:
    server = GrpcServer(rpc.SERVICE, ServerSettings(port=0))
    await server.start()
    async with open_channel(server.address, max_message_bytes=2**27) as channel:
        yield Stub(channel)
    await server.drain(0)


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with serving() as running:
        yield running


def pixels(height: int = 256, width: int = 256, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


def encode(picture: np.ndarray, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind)
    return out.getvalue()


def request(images: Sequence[bytes], concepts: Sequence[int] = (), engine: str = "") -> tr.ReadPicturesRequest:
    return tr.ReadPicturesRequest(
        engine=engine, pictures=[tr.Picture(image=image, concepts=concepts) for image in images]
    )


def hollow(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixel of it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


async def refusal(call: grpc.aio.UnaryUnaryCall) -> tuple[grpc.StatusCode, str, str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    reason, metadata = parse_error_info(caught.value)
    return caught.value.code(), reason, caught.value.details() or "", metadata


async def test_pictures_are_read_in_order_as_the_reader_reads_them(stub: Stub) -> None:
    pictures = [pixels(seed=seed) for seed in range(3)]
    answer = await stub.ReadPictures(request([encode(picture) for picture in pictures]))
    expected = open_reader(EMBEDDED).read(pictures, [()] * 3)
    read = [(one.arousal, one.valence) for one in answer.achieved]
    assert np.array(read) == pytest.approx(expected, abs=1e-5)
    assert len({arousal for arousal, _ in read}) == 3


async def test_the_judge_says_who_it_is_and_how_far_it_can_be_believed(stub: Stub) -> None:
    judge = (await stub.ReadPictures(request([encode(pixels())]))).judge
    measured = json.loads((EMBEDDED / "judge.json").read_text())["metrics"]["all"]
    assert judge.digest == open_reader(EMBEDDED).digest
    assert (judge.arousal.r, judge.valence.r) == pytest.approx((measured["arousal"]["r"], measured["valence"]["r"]))
    assert judge.arousal.n == judge.valence.n == 900


async def test_a_picture_is_read_without_the_themes_that_it_shows(stub: Stub) -> None:
    image = encode(pixels())
    read = [(await stub.ReadPictures(request([image], concepts))).achieved[0] for concepts in ([], [0], [0, 20])]
    assert len({(one.arousal, one.valence) for one in read}) == 3


async def test_a_request_may_hold_64_pictures(stub: Stub) -> None:
    image = encode(pixels(64, 64))
    assert len((await stub.ReadPictures(request([image] * 64))).achieved) == 64


async def test_a_jpeg_and_a_png_of_any_shape_and_mode_are_read(stub: Stub) -> None:
    grey, shape = Image.fromarray(pixels()[..., 0]), pixels(90, 400)
    transparent = Image.fromarray(np.dstack([shape, shape[..., 0]]))
    images = [encode(shape, "JPEG"), encode(np.asarray(grey)), encode(np.asarray(transparent))]
    assert len((await stub.ReadPictures(request([*images, encode(pixels(2, 2))]))).achieved) == 4


async def test_reading_is_pure(stub: Stub) -> None:
    asked = request([encode(pixels(seed=seed)) for seed in range(4)], [3, 7])
    one, again = await asyncio.gather(stub.ReadPictures(asked), stub.ReadPictures(asked))
    assert one == again


ONE = encode(pixels(8, 8))
LIMITS = [
    (request([]), "BATCH_EMPTY", "pictures", "the batch is empty; send at least 1"),
    (request([ONE] * 65), "BATCH_TOO_LARGE", "pictures", "the batch has 65 pictures; send at most 64"),
    (request([ONE], engine="dalle"), "ENGINE_UNKNOWN", "engine", "engine is 'dalle'; choose one of: canvas"),
    (request([ONE], [9999]), "CONCEPT_UNKNOWN", "pictures[0].concepts", "concept is 9999; choose 0 to "),
    (request([ONE], [0] * 17), "CONCEPT_UNKNOWN", "pictures[0].concepts", "has 17 concepts; send the heaviest 16"),
    (request([ONE, b""]), "PICTURE_UNREADABLE", "pictures[1].image", "picture 1 cannot be read (neither JPEG nor PNG)"),
    (request([b"GIF89a" + bytes(99)]), "PICTURE_UNREADABLE", "pictures[0].image", "send JPEG or PNG"),
    (request([encode(pixels(), "BMP")]), "PICTURE_UNREADABLE", "pictures[0].image", "neither JPEG nor PNG"),
    (request([encode(pixels(), "JPEG")[:500]]), "PICTURE_UNREADABLE", "pictures[0].image", "cannot be read"),
    (request([encode(pixels())[:200]]), "PICTURE_UNREADABLE", "pictures[0].image", "cannot be read"),
    (request([hollow(64, 64)]), "PICTURE_UNREADABLE", "pictures[0].image", "cannot be read"),
    (request([hollow(2049, 2048)]), "PICTURE_TOO_LARGE", "pictures[0].image", "has 2049 x 2048 pixels; send at most"),
    (request([hollow(10_000, 10_000)]), "PICTURE_TOO_LARGE", "pictures[0].image", "pixels"),
    (request([hollow(60_000, 60_000)]), "PICTURE_TOO_LARGE", "pictures[0].image", "pixels"),
    (request([ONE + bytes(2**20)]), "PICTURE_TOO_LARGE", "pictures[0].image", "send at most 1048576 bytes"),
]


@pytest.mark.parametrize(("asked", "reason", "field", "said"), LIMITS)
async def test_a_limit_is_refused_with_reason_rule_value_and_way_out(
    stub: Stub, asked: tr.ReadPicturesRequest, reason: str, field: str, said: str
) -> None:
    code, given, message, metadata = await refusal(stub.ReadPictures(asked))
    assert (code, given, metadata["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, reason, field)
    assert said in message


async def test_pictures_of_sixteen_mebibytes_together_are_no_message_too_large(stub: Stub) -> None:
    image = encode(pixels(64, 64), "JPEG")
    full = image + bytes(2**18 - 100 - len(image))  # what follows the picture's end is nobody's
    assert len((await stub.ReadPictures(request([full] * 64))).achieved) == 64


async def test_a_server_without_a_judge_says_so_and_translates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSING_TRANSLATOR_JUDGE", "off")
    async with serving() as stub:
        code, reason, message, _ = await refusal(stub.ReadPictures(request([ONE])))
        listed = await stub.ListTranslators(tr.ListTranslatorsRequest())
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JUDGE_MISSING")
    assert message == "this translator has no judge of pictures; set DEEPSING_TRANSLATOR_JUDGE to on"
    assert len(listed.translators) >= 1


class Slow(PictureReader):
    """Judges nothing until it is released."""

    def __init__(self) -> None:
        self.may_read, self.reads = threading.Event(), threading.Event()

    def read(
        self, pictures: Sequence[np.ndarray], concepts: Sequence[Sequence[str]], pause: object = None
    ) -> np.ndarray:
        self.reads.set()
        assert self.may_read.wait(20)
        return np.zeros((len(pictures), 2))


@asynccontextmanager
async def slow_judge_service() -> AsyncIterator[tuple[Slow, Stub]]:
    slow = Slow()

    async def open_servicer() -> rpc.TranslatorServicer:
        from services.translator.catalogue import open_catalogue

        return rpc.TranslatorServicer(open_catalogue([]), judging.JudgeService(slow, tr.ReadPicturesResponse().judge))

    service = Service(rpc.SERVICE.name, rpc.SERVICE.grpc_name, rpc.SERVICE.register, open_servicer)
    server = GrpcServer(service, ServerSettings(port=0))
    await server.start()
    async with open_channel(server.address) as channel:
        yield slow, Stub(channel)
        slow.may_read.set()
    await server.drain(0)


async def test_translating_goes_on_while_pictures_are_read() -> None:
    async with slow_judge_service() as (slow, stub):
        reading = stub.ReadPictures(request([ONE]))
        assert await asyncio.to_thread(slow.reads.wait, 20)
        answer = await stub.Translate(tr.TranslateRequest(sentiments=[{"arousal": 0.1}]))
        assert len(answer.expected) == 1
        assert not reading.done()
        slow.may_read.set()
        assert len((await reading).achieved) == 1


async def test_more_than_can_be_held_is_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MAX_WAITING_BYTES", len(ONE) + 10)
    async with slow_judge_service() as (slow, stub):
        first = stub.ReadPictures(request([ONE, ONE]))  # a lone request always has room
        assert await asyncio.to_thread(slow.reads.wait, 20)
        code, reason, message, _ = await refusal(stub.ReadPictures(request([ONE])))
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
        assert "try again in 1 s" in message
        slow.may_read.set()
        assert len((await first).achieved) == 2
        assert len((await stub.ReadPictures(request([ONE]))).achieved) == 1
