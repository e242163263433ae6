"""Broken connections: between the composer and replicas of a service, and between a client and the composer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from deepsing.client import Client, StoryOptions
from deepsing.client import session as client_session
from deepsing.v1 import composer_pb2 as pb
from services.composer.backends.client import Backends
from tests.chaos.proxy import Proxy
from tests.encoding import encode, tone
from tests.unit.composer.fakes import Stage, config, pcm, stage
from tests.unit.composer.session.test_session import compose_all, only

SONG = pcm(3.0)


@asynccontextmanager
async def stage_behind_proxy(*, direct: bool, **settings: Any) -> AsyncIterator[tuple[Stage, Proxy]]:
    """A composer that reaches the generator through a proxy; with `direct` also without it, as a second replica."""
    async with stage(**settings) as composer:
        servicer = composer.servicer
        port = int(servicer.settings.generator_target.rpartition(":")[2])
        async with Proxy([port]) as proxy:
            targets = f"ipv4:{proxy.target}" + (f",127.0.0.1:{port}" if direct else "")
            first, servicer.backends = servicer.backends, Backends(replace(servicer.settings, generator_target=targets))
            await first.close()
            yield composer, proxy


async def test_a_silent_replica_is_replaced_by_another() -> None:
    async with stage_behind_proxy(direct=True, call_timeout_s=0.3, patience_s=20) as (composer, proxy):
        whole = only(await compose_all(composer.stub, config(), SONG), "frame")
        assert proxy.silence() == 1
        calls = len(composer.generator.calls)
        assert only(await compose_all(composer.stub, config(), SONG), "frame") == whole
        assert len(composer.generator.calls) - calls == 9, "each batch is painted once, by the other"


async def test_a_replica_that_never_answers_is_not_waited_for() -> None:
    async with stage_behind_proxy(direct=True) as (composer, proxy):
        proxy.stop_answering()
        assert len(only(await compose_all(composer.stub, config(), SONG), "frame")) == 72
        assert composer.generator.calls


async def test_a_slow_replica_delays_a_story_and_changes_nothing() -> None:
    async with stage_behind_proxy(direct=False) as (composer, proxy):
        whole = only(await compose_all(composer.stub, config(), SONG), "frame")
        proxy.pause_s = 0.01
        assert only(await compose_all(composer.stub, config(), SONG), "frame") == whole


async def test_calls_whose_connection_is_reset_are_made_again() -> None:
    async with stage_behind_proxy(direct=False, patience_s=20) as (composer, proxy):
        whole = only(await compose_all(composer.stub, config(), SONG), "frame")
        composer.generator.called.clear()
        composer.generator.release = asyncio.Event()
        composing = asyncio.create_task(compose_all(composer.stub, config(), SONG))
        await composer.generator.called.wait()
        assert proxy.reset() == 1
        await composer.generator.cancelled.wait()
        composer.generator.release.set()
        assert only(await composing, "frame") == whole
        assert proxy.connection_count == 2


@pytest.mark.parametrize("files", [(), ("video",)], ids=["frames", "video"])
async def test_a_client_resumes_after_a_reset_and_sends_its_song_once(
    monkeypatch: pytest.MonkeyPatch, files: tuple[Any, ...]
) -> None:
    started: list[pb.SessionStarted] = []

    class RecordingSession(client_session.Session):
        async def read(self) -> client_session.Event | None:
            event = await super().read()
            if isinstance(event, pb.SessionStarted):
                started.append(event)
            return event

    monkeypatch.setattr("deepsing.client.resumable_story.Session", RecordingSession)
    song, options = encode(tone(3.0), 44_100, "mp3", "libmp3lame"), StoryOptions(images="raw", files=files)
    async with stage() as composer, Proxy([composer.port]) as proxy, Client(proxy.target, credit_window=8) as client:
        whole = [event.image async for event in client.compose(song, options) if isinstance(event, pb.Frame)]
        images = []
        async for event in client.compose(song, options):
            if isinstance(event, pb.Frame):
                images.append(event.image)
                if len(images) in (5, 40):
                    proxy.reset()
    assert images == whole
    assert len(images) == 72
    assert [one.song_held for one in started] == [False, False, True, True]
