"""Batches that wait for the generator: bounds, deadlines, callers who have gone, memory."""

import asyncio
import threading
from collections.abc import AsyncIterator
from unittest.mock import Mock

import grpc
import pytest

from deepsing.rpc.errors import parse_error_info
from deepsing.runtime.batching import MicroBatcher
from deepsing.v1 import generator_pb2
from services.generator import rpc
from services.generator.painter import Job, JobResult, Painter
from services.generator.settings import Settings
from tests.contract.generator.serving import Stub, make_request, serve
from tests.unit.generator.opened import tiny_engine, two_styles


class HeldPainter(Painter):
    """Notes every batch that it is given, and paints none before it is released."""

    def __init__(self) -> None:
        super().__init__({"tiny": tiny_engine()}, two_styles(), lanes=1)
        self.begun, self.released = threading.Event(), threading.Event()
        self.counts: list[int] = []

    def paint(self, jobs: list[Job]) -> list[JobResult]:
        self.counts += [len(job.class_weights) for job in jobs]
        self.begun.set()
        self.released.wait()
        return super().paint(jobs)


@pytest.fixture
async def painter_and_stub() -> AsyncIterator[tuple[HeldPainter, Stub]]:
    painter = HeldPainter()

    async def opener() -> rpc.GeneratorServicer:
        return rpc.GeneratorServicer(
            {"tiny": tiny_engine()}, two_styles(), painter, Settings(max_queue=1, max_wait_s=0)
        )

    server, channel = await serve(opener, max_deadline_s=20.0)
    async with channel:
        yield painter, Stub(channel)
    painter.released.set()
    await server.drain(0)


async def test_a_full_queue_says_when_to_come_again(painter_and_stub: tuple[HeldPainter, Stub]) -> None:
    painter, stub = painter_and_stub
    first = asyncio.ensure_future(stub.Generate(make_request(1)))
    await asyncio.to_thread(painter.begun.wait)
    others = {
        asyncio.ensure_future(stub.Generate(make_request(2))),
        asyncio.ensure_future(stub.Generate(make_request(2))),
    }
    done, waiting = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = done
    error = refused.exception()
    assert isinstance(error, grpc.aio.AioRpcError)
    assert (error.code(), parse_error_info(error)[0]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")
    assert error.details() == "1 jobs wait, the most there may be; try again in 1 s"
    painter.released.set()
    await asyncio.gather(first, *waiting)
    assert painter.counts == [1, 2]


async def test_a_caller_who_has_gone_is_never_painted_for(painter_and_stub: tuple[HeldPainter, Stub]) -> None:
    painter, stub = painter_and_stub
    first = asyncio.ensure_future(stub.Generate(make_request(1)))
    await asyncio.to_thread(painter.begun.wait)
    gone = asyncio.ensure_future(stub.Generate(make_request(5)))
    await stub.ListStyles(generator_pb2.ListStylesRequest())  # by then the server has read the request …
    gone.cancel()
    await stub.ListStyles(generator_pb2.ListStylesRequest())  # … and by then the cancellation
    painter.released.set()
    await first
    assert painter.counts == [1]


async def test_a_batch_that_is_not_ready_in_time_ends_with_its_reason() -> None:
    painter = HeldPainter()

    async def opener() -> rpc.GeneratorServicer:
        return rpc.GeneratorServicer({"tiny": tiny_engine()}, two_styles(), painter, Settings())

    server, channel = await serve(opener, max_deadline_s=0.1)
    async with channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await Stub(channel).Generate(make_request(1))
    painter.released.set()
    await server.drain(0)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert parse_error_info(caught.value)[0] == "DEADLINE_PASSED"


async def test_the_callers_deadline_comes_with_the_batch_and_one_that_cannot_be_met_is_refused_unpainted(
    painter_and_stub: tuple[HeldPainter, Stub], monkeypatch: pytest.MonkeyPatch
) -> None:
    painter, stub = painter_and_stub
    painter.released.set()
    await stub.Generate(make_request(1))
    monkeypatch.setattr(MicroBatcher, "_pace_s", property(lambda _: 60.0, lambda *_: None), raising=False)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Generate(make_request(2), timeout=10)
    assert (caught.value.code(), parse_error_info(caught.value)[0]) == (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "DEADLINE_PASSED",
    )
    assert caught.value.details() == "the deadline passes before 2 pictures are painted; allow more time"
    assert painter.counts == [1]


async def test_a_device_without_memory_says_when_to_come_again(painter_and_stub: tuple[HeldPainter, Stub]) -> None:
    painter, stub = painter_and_stub
    painter.released.set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Painter, "paint", Mock(side_effect=RuntimeError("CUDA failure 2: out of memory")))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Generate(make_request(1))
    assert (caught.value.code(), parse_error_info(caught.value)[0]) == (
        grpc.StatusCode.UNAVAILABLE,
        "DEPENDENCY_UNAVAILABLE",
    )
    assert caught.value.details() == (
        "the device has no memory left for the batch; try again in 1 s, or ask for less at once"
    )
