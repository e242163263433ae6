"""Which exception each refusal becomes, with its reason, code and way out."""

from collections.abc import AsyncIterator

import grpc
import pytest

from deepsing.client import Client
from deepsing.client.errors import DeepsingError, Failed, InvalidSong, Refused, Unavailable
from deepsing.client.session import Event
from deepsing.rpc.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
)
from deepsing.rpc.errors import Unavailable as ServerUnavailable
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from tests.unit.client.fake_composer import FakeComposer, serve_composer

CASES = [
    (InvalidArgument("the song is empty; send …", reason=reasons.ERROR_REASON_SONG_EMPTY), InvalidSong, "SONG_EMPTY"),
    (
        InvalidArgument("frame rate is 240", reason=reasons.ERROR_REASON_FRAME_RATE_OUT_OF_RANGE),
        Refused,
        "FRAME_RATE_OUT_OF_RANGE",
    ),
    (FailedPrecondition("another story", reason=reasons.ERROR_REASON_RESUME_MISMATCH), Refused, "RESUME_MISMATCH"),
    (
        ServerUnavailable("generator is away", reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE, retry_after_s=5),
        Unavailable,
        "DEPENDENCY_UNAVAILABLE",
    ),
    (
        ResourceExhausted("64 sessions are open", reason=reasons.ERROR_REASON_SESSIONS_EXHAUSTED, retry_after_s=10),
        Unavailable,
        "SESSIONS_EXHAUSTED",
    ),
    (
        DeadlineExceeded("no audio came for 60 s", reason=reasons.ERROR_REASON_UPLOAD_STALLED),
        Unavailable,
        "UPLOAD_STALLED",
    ),
    (ServiceError("internal error; quote 5f2c", reason=reasons.ERROR_REASON_INTERNAL), Failed, "INTERNAL"),
]


async def expect_refusal(composer: FakeComposer, call: str, song: bytes = b"song") -> DeepsingError:
    async with serve_composer(composer) as target, Client(target, retries=0) as client:
        asked = client.probe(song) if call == "probe" else collect(client.compose(song))
        with pytest.raises(DeepsingError) as caught:
            await asked
    return caught.value


async def collect(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


@pytest.mark.parametrize(("sent", "kind", "reason"), CASES, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_refusal_keeps_its_message_code_and_reason(sent: ServiceError, kind: type, reason: str) -> None:
    error = await expect_refusal(FakeComposer([sent]), "compose")
    assert type(error) is kind
    assert (error.message, error.reason, error.code) == (str(sent), reason, sent.code)
    assert error.retry_after_s == sent.retry_after_s


@pytest.mark.parametrize("call", ["compose", "probe"])
async def test_a_refusal_in_the_middle_of_a_large_upload_is_told_as_it_is(call: str) -> None:
    refused = InvalidArgument("the song cannot be read", reason=reasons.ERROR_REASON_SONG_UNREADABLE)
    composer = FakeComposer([refused])
    composer.probe, composer.reads_probes = refused, False
    for _ in range(5):  # what is lost without `keep_status` is lost in most of these
        error = await expect_refusal(composer, call, bytes(2_000_000))
        assert (error.message, error.reason) == ("the song cannot be read", "SONG_UNREADABLE")


async def test_a_refused_probe_is_told_in_the_same_way() -> None:
    composer = FakeComposer()
    composer.probe = InvalidArgument(
        "the song is 0.200 s long", reason=reasons.ERROR_REASON_SONG_TOO_SHORT, field="audio_chunk", value=0.2
    )
    error = await expect_refusal(composer, "probe")
    assert isinstance(error, InvalidSong)
    assert error.metadata == {"field": "audio_chunk", "value": "0.2"}


async def test_an_address_where_nobody_listens_is_named() -> None:
    async with Client("127.0.0.1:1", retries=0) as client:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 does not answer .*; check the address"):
            await client.probe(b"song")


async def test_a_server_that_is_no_composer_is_a_failure_not_a_wait() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Client(f"127.0.0.1:{port}") as client:
        with pytest.raises(Failed, match="is it a deepsing service"):
            await client.probe(b"song")
    await server.stop(None)


async def test_a_message_of_a_later_version_is_a_failure() -> None:
    with_nothing_known: list[object] = [pb.ComposeResponse()]
    error = await expect_refusal(FakeComposer(with_nothing_known), "compose")  # type: ignore[arg-type]
    assert isinstance(error, Failed)
    assert "update deepsing" in error.message


async def test_a_song_whose_reading_fails_says_so_in_a_probe() -> None:
    async def read_torn_song() -> AsyncIterator[bytes]:
        yield b"some"
        raise OSError(5, "Input/output error")

    async with serve_composer(FakeComposer()) as target, Client(target) as client:
        with pytest.raises(OSError, match="Input/output error"):
            await client.probe(read_torn_song())
