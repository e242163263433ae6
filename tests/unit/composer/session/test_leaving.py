"""A session that fails or is cancelled leaves no files and no tasks."""

import asyncio
from contextlib import aclosing

import pytest

from deepsing.v1 import composer_pb2 as pb
from services.composer.session.delivery import Delivery
from services.composer.session.session import Session
from tests.unit.composer.fakes import config, pcm, stage, upload


async def test_a_reader_that_stops_and_leaves_does_not_hold_the_session() -> None:
    async with stage() as composer:
        session = Session(composer.servicer.settings, composer.servicer.backends, composer.servicer.resources, "s")
        responses = session.run(upload(config(), pcm(6.3)))
        assert (await anext(responses)).HasField("session_started")
        async with asyncio.timeout(10):
            while not session.outbox.full():  # noqa: ASYNC110 - a queue has no event for being full
                await asyncio.sleep(0)
        async with asyncio.timeout(2) as timer:
            await responses.aclose()
        assert not timer.expired()
        assert not session.folder.exists()


async def test_a_session_that_is_cancelled_twice_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage() as composer:
        composer.generator.release = asyncio.Event()
        session = Session(composer.servicer.settings, composer.servicer.backends, composer.servicer.resources, "s")
        closing, may_close, close = asyncio.Event(), asyncio.Event(), Session._close

        async def slow(self: Session, work: asyncio.Task[None]) -> None:
            closing.set()
            await may_close.wait()
            await close(self, work)

        monkeypatch.setattr(Session, "_close", slow)
        reading = asyncio.create_task(_read(session))
        await composer.generator.called.wait()
        reading.cancel()
        await closing.wait()
        reading.cancel()
        await asyncio.wait({reading})
        assert session.folder.exists()
        may_close.set()
        async with asyncio.timeout(10):
            while session.folder.exists():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.01)


async def _read(session: Session) -> None:
    async with aclosing(session.run(upload(config(), pcm(2.0)))) as responses:
        async for _ in responses:
            pass


async def test_an_unexpected_failure_leaves_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with stage() as composer:
        session = Session(composer.servicer.settings, composer.servicer.backends, composer.servicer.resources, "s")
        monkeypatch.setattr(Delivery, "_finish", broken)
        responses: list[pb.ComposeResponse] = []
        with pytest.raises(ZeroDivisionError):
            responses.extend([response async for response in session.run(upload(config(files=[1]), pcm(2.0)))])
        assert not session.folder.exists()
