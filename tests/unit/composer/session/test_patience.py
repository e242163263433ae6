"""Calls that answer once, with signs of life until then."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepsing.client import Client, StoryOptions
from deepsing.client import song as song_module
from deepsing.client.errors import Unavailable
from deepsing.rpc.errors import parse_error_info
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import composer_pb2_grpc
from tests.encoding import encode, tone
from tests.unit.composer.fakes import config, pcm, stage

SONG = pcm(6.3)
PLAN = [pb.PlanStoryRequest(config=config()), pb.PlanStoryRequest(audio_chunk=SONG[:60_000])]


async def send(kind: str, requests: Sequence[Any]) -> AsyncIterator[pb.AwaitRequest]:
    for request in requests:
        yield pb.AwaitRequest(**{kind: request})


async def test_a_call_that_takes_long_is_never_silent_and_answers_as_it_would_by_itself() -> None:
    async with stage(heartbeat_s=0.05) as composer:
        plain = await composer.stub.PlanStory(iter(PLAN))
        composer.generator.release, lives = asyncio.Event(), 0
        call = composer.stub.Await(send("plan_story", PLAN))
        async with asyncio.timeout(20):
            while (response := await call.read()).HasField("alive"):
                lives += 1
                if lives == 5:
                    composer.generator.release.set()
        assert lives >= 5
        assert response.plan_story == plain
        assert await call.read() is grpc.aio.EOF


async def test_the_first_sign_of_life_comes_before_the_song() -> None:
    async with stage(heartbeat_s=10) as composer:
        call = composer.stub.Await()
        await call.write(pb.AwaitRequest(probe=pb.ProbeRequest(config=pb.StoryConfig())))
        async with asyncio.timeout(5):
            assert (await call.read()).HasField("alive")
        song = encode(tone(1.0, 8000, 1), 8000, "wav", "pcm_s16le")
        await call.write(pb.AwaitRequest(probe=pb.ProbeRequest(audio_chunk=song)))
        await call.done_writing()
        assert (await call.read()).probe.frame_count == 24


REFUSED = {
    "nothing": ([], "CONFIG_MISSING"),
    "no call": ([pb.AwaitRequest()], "CONFIG_MISSING"),
    "two calls": (
        [
            pb.AwaitRequest(probe=pb.ProbeRequest(config=config())),
            pb.AwaitRequest(plan_story=pb.PlanStoryRequest(audio_chunk=b"x")),
        ],
        "CONFIG_MISSING",
    ),
    "what the call itself refuses": (
        [pb.AwaitRequest(probe=pb.ProbeRequest(config=config(jpeg_quality=101)))],
        "QUALITY_OUT_OF_RANGE",
    ),
}


@pytest.mark.parametrize(("requests", "reason"), REFUSED.values(), ids=REFUSED)
async def test_what_is_wrong_is_refused(requests: list[pb.AwaitRequest], reason: str) -> None:
    async with stage() as composer:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in composer.stub.Await(iter(requests)):
                pass
        assert parse_error_info(caught.value)[0] == reason


async def test_the_work_ends_with_its_caller() -> None:
    async with stage() as composer:
        composer.generator.release = asyncio.Event()
        call = composer.stub.Await(send("plan_story", PLAN))
        assert (await call.read()).HasField("alive")
        await composer.generator.called.wait()
        call.cancel()
        async with asyncio.timeout(5):
            await composer.generator.cancelled.wait()
            await composer.servicer.idle.wait()


async def test_the_client_uses_it_for_all_three(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    song = encode(tone(2.0), 44_100, "wav", "pcm_s16le")
    async with stage(store=str(tmp_path), stories_running=0) as composer, Client(composer.target) as client:
        assert (await client.probe(song)).frame_count == 48
        assert len((await client.plan_story(song)).keys) >= 1
        assert (await client.create_story(song, StoryOptions())).state == pb.STORY_STATE_QUEUED
    called = [record.fields["rpc"] for record in caplog.records if "rpc" in getattr(record, "fields", {})]
    assert called == ["/deepsing.v1.ComposerService/Await"] * 3


class Frozen(composer_pb2_grpc.ComposerServiceServicer):
    """Shows one sign of life, and no more."""

    async def Await(self, requests: Any, context: Any) -> AsyncIterator[pb.AwaitResponse]:
        yield pb.AwaitResponse(alive=pb.Alive())
        await asyncio.Event().wait()


async def test_a_composer_that_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(song_module, "SILENCE_LIMIT_S", 0.2)
    server = grpc.aio.server()
    composer_pb2_grpc.add_ComposerServiceServicer_to_server(Frozen(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Client(f"127.0.0.1:{port}", retries=0) as client:
        with pytest.raises(Unavailable, match="has said nothing for"):
            await client.probe(b"song")
    await server.stop(0)
