"""Flow control of the composer: credit, stalls, and dropped live frames."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepsing.rpc.errors import parse_error_info
from deepsing.v1 import composer_pb2 as pb
from tests.unit.composer.fakes import Stage, config, stage, upload
from tests.unit.composer.session.test_session import SONG, expect_refusal


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


async def test_the_server_sends_no_more_frames_than_credit(composer: Stage) -> None:
    more: asyncio.Queue[pb.ComposeRequest | None] = asyncio.Queue()

    async def requests() -> AsyncIterator[pb.ComposeRequest]:
        async for request in upload(config(initial_credit=5), SONG):
            yield request
        while (request := await more.get()) is not None:
            yield request

    call, seen = composer.stub.Compose(requests()), 0
    async for response in call:
        kind = response.WhichOneof("payload")
        seen += kind == "frame"
        if kind == "heartbeat" and response.heartbeat.phase == pb.PHASE_WAITING_FOR_CREDIT:
            break
        if seen == 5 and len(composer.generator.calls) >= 3:
            await more.put(pb.ComposeRequest(credit=3))
        if seen == 8:
            break
    assert seen == 8
    call.cancel()


async def test_credit_that_can_never_come_ends_the_session(composer: Stage) -> None:
    code, reason, _ = await expect_refusal(composer.stub.Compose(upload(config(initial_credit=2), SONG)))
    assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "CREDIT_STALLED")


async def test_credit_withheld_for_too_long_ends_the_session() -> None:
    async with stage(credit_stall_s=0.2) as composer:
        hold = asyncio.Event()

        async def requests() -> AsyncIterator[pb.ComposeRequest]:
            async for request in upload(config(initial_credit=2), SONG):
                yield request
            await hold.wait()

        code, reason, _ = await expect_refusal(composer.stub.Compose(requests()))
        assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "CREDIT_STALLED")


async def test_a_silent_upload_ends_the_session() -> None:
    async with stage(upload_stall_s=0.2) as composer:
        code, reason, _ = await expect_refusal(
            composer.stub.Compose(upload_then_wait(pb.ComposeRequest(config=config())))
        )
        assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "UPLOAD_STALLED")


@pytest.mark.parametrize(
    ("method", "request_type"), [("Probe", pb.ProbeRequest), ("CreateStory", pb.CreateStoryRequest)]
)
async def test_a_silent_upload_to_a_unary_rpc_is_refused(method: str, request_type: Any, tmp_path: Path) -> None:
    async with stage(upload_stall_s=0.2, store=str(tmp_path), stories_running=0) as composer:
        call = getattr(composer.stub, method)(upload_then_wait(request_type(config=config())), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        code, reason = caught.value.code(), parse_error_info(caught.value)[0]
        assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "UPLOAD_STALLED")


@pytest.mark.parametrize("method", ["Compose", "Probe", "CreateStory"])
async def test_a_caller_who_sends_nothing_at_all_is_refused(method: str, tmp_path: Path) -> None:
    async with stage(upload_stall_s=0.2, store=str(tmp_path), stories_running=0) as composer:
        call = getattr(composer.stub, method)(upload_then_wait(), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (call.read() if method == "Compose" else call)
        code, reason = caught.value.code(), parse_error_info(caught.value)[0]
        assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "UPLOAD_STALLED")


@pytest.mark.parametrize(
    ("method", "request_type", "idle"),
    [
        ("Compose", pb.ComposeRequest, {"credit": 1}),
        ("Compose", pb.ComposeRequest, {"audio_chunk": b""}),
        ("Compose", pb.ComposeRequest, {"audio_chunk": b"x"}),
        ("Probe", pb.ProbeRequest, {"audio_chunk": b""}),
        ("Probe", pb.ProbeRequest, {"audio_chunk": b"x"}),
        ("CreateStory", pb.CreateStoryRequest, {"audio_chunk": b""}),
        ("CreateStory", pb.CreateStoryRequest, {"audio_chunk": b"x"}),
    ],
)
async def test_messages_without_audio_keep_no_upload_alive(
    method: str, request_type: Any, idle: dict[str, Any], tmp_path: Path
) -> None:
    async def requests() -> AsyncIterator[Any]:
        yield request_type(config=config())
        while True:
            yield request_type(**idle)
            await asyncio.sleep(0.05)

    async with stage(upload_stall_s=0.4, store=str(tmp_path), stories_running=0) as composer:
        call = getattr(composer.stub, method)(requests(), timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (read_all(call) if method == "Compose" else call)
        code, reason = caught.value.code(), parse_error_info(caught.value)[0]
        assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "UPLOAD_STALLED")


async def test_one_caller_has_a_share_of_the_sessions_and_another_gets_in() -> None:
    async with stage(max_sessions=3, max_sessions_per_caller=2) as composer:
        held = [composer.stub.Compose(upload_then_wait(pb.ComposeRequest(config=config()))) for _ in range(2)]
        for call in held:
            assert (await call.read()).HasField("session_started")
        code, reason, text = await expect_refusal(composer.stub.Compose(upload(config(), SONG)))
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSIONS_EXHAUSTED")
        assert text == "2 sessions of yours are open, your share; close some; try again in 10 s"
        with composer.servicer._shares.hold("another"):
            assert composer.servicer.sessions == 3


async def read_all(call: Any) -> None:
    async for _ in call:
        pass


async def upload_then_wait(*first: Any) -> AsyncIterator[Any]:
    """An upload that stops after its first messages, if any."""
    for one in first:
        yield one
    await asyncio.Event().wait()
