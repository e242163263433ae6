import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from deepsing.rpc.errors import parse_error_info
from deepsing.runtime.server import GrpcServer, Service
from deepsing.runtime.settings import ServerSettings
from deepsing.telemetry.ids import REQUEST_ID_KEY
from deepsing.v1 import composer_pb2, composer_pb2_grpc
from tests.unit.runtime.echo import KINDS, NAME, Echo, call

COMPOSER = "deepsing.v1.ComposerService"  # has methods of three kinds
SOON_S = 20.0  # for what takes milliseconds; long, because test machines are busy


class Reader(composer_pb2_grpc.ComposerServiceServicer):
    async def Probe(self, requests: AsyncIterator[Any], context: Any) -> composer_pb2.ProbeResponse:
        async for _request in requests:
            pass
        return composer_pb2.ProbeResponse()

    async def Compose(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[composer_pb2.ComposeResponse]:
        async for _request in requests:
            yield composer_pb2.ComposeResponse()

    async def Render(self, request: Any, context: Any) -> AsyncIterator[composer_pb2.RenderResponse]:
        yield composer_pb2.RenderResponse()


async def expect_refusal(
    channel: grpc.aio.Channel, kind: str, request: bytes, **options: object
) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(call(channel, kind, request, **options), SOON_S)
    return caught.value


def read_request_id(error: grpc.aio.AioRpcError) -> str:
    return str(dict(error.trailing_metadata())[REQUEST_ID_KEY])


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_passes_unchanged(channel: grpc.aio.Channel, kind: str) -> None:
    assert (await call(channel, kind, b"hello")).endswith(b"hello")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refusal_carries_code_message_reason_and_metadata(channel: grpc.aio.Channel, kind: str) -> None:
    error = await expect_refusal(channel, kind, b"refuse")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "fps is 240; choose 1 to 60"
    assert parse_error_info(error) == ("FRAME_RATE_OUT_OF_RANGE", {"field": "fps", "value": "240"})


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unexpected_failure_leaks_nothing_but_a_request_id_that_the_log_explains(
    server: GrpcServer, channel: grpc.aio.Channel, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = await expect_refusal(channel, kind, b"fail", metadata=((REQUEST_ID_KEY, "abc.7"),))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert error.details() == "internal error; quote request abc.7 to the operator"
    assert parse_error_info(error) == ("INTERNAL", {"request_id": "abc.7"})
    assert "secret" not in str(error.trailing_metadata())
    await server.drain(SOON_S)  # the line is written once the status has left
    assert "KeyError: 'secret'" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_a_full_disk_is_refused_with_a_reason_and_a_pause_and_the_log_names_the_place(
    server: GrpcServer, channel: grpc.aio.Channel, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = await expect_refusal(channel, kind, b"disk full")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == (
        "echo has no room left on its disk; try again in 30 s, or ask its operator to free space"
    )
    assert parse_error_info(error)[0] == "DISK_FULL"
    assert "secret" not in str(error.trailing_metadata())
    await server.drain(SOON_S)  # the line is written once the status has left
    assert "/secret/place" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stray_cancellation_in_a_handler_does_not_hang_the_caller(channel: grpc.aio.Channel, kind: str) -> None:
    error = await expect_refusal(channel, kind, b"stray cancel")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert parse_error_info(error)[0] == "INTERNAL"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_abort_of_the_handler_itself_passes(channel: grpc.aio.Channel, kind: str) -> None:
    error = await expect_refusal(channel, kind, b"abort")
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing")


async def test_a_unary_call_ends_at_the_servers_cap_though_the_caller_would_wait(
    impatient: grpc.aio.Channel, echo: Echo
) -> None:
    error = await expect_refusal(impatient, "unary_unary", b"wait", timeout=60)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert parse_error_info(error)[0] == "DEADLINE_PASSED"
    assert "at most 0.3 s" in str(error.details())
    assert echo.cleaned.is_set()


async def test_a_stream_may_last_longer_than_the_cap_of_unary_calls(impatient: grpc.aio.Channel, echo: Echo) -> None:
    answer = asyncio.create_task(call(impatient, "unary_stream", b"wait"))
    await echo.started.wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(answer), 0.5)
    echo.release.set()
    assert await answer == b"firstwait"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_caller_who_cancels_stops_the_handler(
    server: GrpcServer, channel: grpc.aio.Channel, echo: Echo, kind: str
) -> None:
    going = asyncio.create_task(call(channel, kind, b"wait"))
    await echo.started.wait()
    going.cancel()
    await asyncio.wait_for(echo.cleaned.wait(), SOON_S)
    await asyncio.wait_for(server._guard.wait_idle(), SOON_S)


async def test_a_caller_who_cancels_without_reading_stops_the_handler(channel: grpc.aio.Channel, echo: Echo) -> None:
    rpc = channel.unary_stream(f"/{NAME}/unary_stream")(b"flood")
    assert await rpc.read() == b"first"
    rpc.cancel()
    await asyncio.wait_for(echo.cleaned.wait(), SOON_S)


async def test_a_callers_deadline_stops_the_handler(channel: grpc.aio.Channel, echo: Echo) -> None:
    error = await expect_refusal(channel, "unary_stream", b"wait", timeout=2)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(echo.cleaned.wait(), SOON_S)


@pytest.mark.parametrize("given", ["", "has space", "x" * 65, "a;b"])
async def test_an_unfit_request_id_is_replaced(channel: grpc.aio.Channel, given: str) -> None:
    error = await expect_refusal(channel, "unary_unary", b"refuse", metadata=((REQUEST_ID_KEY, given),))
    assert len(read_request_id(error)) == 32
    assert int(read_request_id(error), 16) > 0


async def test_a_fit_request_id_comes_back_with_an_answer_too(channel: grpc.aio.Channel) -> None:
    rpc = channel.unary_unary(f"/{NAME}/unary_unary")(b"x", metadata=((REQUEST_ID_KEY, "A-z_0.9"),))
    assert await rpc == b"x"
    assert (REQUEST_ID_KEY, "A-z_0.9") in tuple(await rpc.trailing_metadata())


async def test_every_call_leaves_one_line_with_method_code_and_time(
    server: GrpcServer, channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "deepsing.runtime.guard")
    await call(channel, "unary_unary", b"x")
    await expect_refusal(channel, "stream_stream", b"full")
    fields = [record.__dict__["fields"] for record in caplog.records if record.name == "deepsing.runtime.guard"]
    assert [(line["rpc"], line["code"]) for line in fields] == [
        (f"/{NAME}/unary_unary", "OK"),
        (f"/{NAME}/stream_stream", "RESOURCE_EXHAUSTED"),
    ]
    assert all(0 <= line["duration_ms"] < 5000 for line in fields)
    assert json.dumps(fields)


@pytest.mark.parametrize("method", ["Probe", "Compose", "Render"])
async def test_bytes_that_are_no_message_are_refused_without_internals(method: str) -> None:
    async def open_composer() -> composer_pb2_grpc.ComposerServiceServicer:
        return Reader()

    service = Service("composer", COMPOSER, composer_pb2_grpc.add_ComposerServiceServicer_to_server, open_composer)
    server = GrpcServer(service, ServerSettings(port=0))
    await server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        rpc = channel.stream_stream(f"/{COMPOSER}/{method}")(iter([b"\xff\xff\xff"]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rpc.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (
        caught.value.details()
        == "3 bytes were received that are no message of this method; use the stubs of the contract"
    )
    assert parse_error_info(caught.value)[0] == "MESSAGE_UNREADABLE"
    await server.drain(0)
