"""What is done about faults of grpc.aio, each by itself."""

import asyncio
import logging
from typing import Any

import grpc
import pytest

from deepsing.rpc import workarounds
from deepsing.rpc.workarounds import drain_requests, is_noise, is_stray_cancellation, keep_status, wrap_each_call


class Context:
    """A call whose caller sends some messages and then ends, or sends nothing more."""

    def __init__(self, *messages: object, silent_after: bool = False) -> None:
        self.unread = list(messages)
        self._silent_after = silent_after

    async def read(self) -> object:
        if not self.unread and self._silent_after:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return self.unread.pop(0) if self.unread else grpc.aio.EOF


async def test_a_refused_caller_is_read_to_its_end() -> None:
    context = Context(b"one", b"two")
    await drain_requests(context)
    assert context.unread == []


async def test_a_caller_that_falls_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workarounds, "QUIET_S", 0.01)
    context = Context(b"one", silent_after=True)
    await asyncio.wait_for(drain_requests(context), 20)
    assert context.unread == []


async def test_a_caller_that_never_stops_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workarounds, "DRAIN_LIMIT_S", 0.01)

    class Endless(Context):
        async def read(self) -> object:
            await asyncio.sleep(0)
            return b"more"

    await asyncio.wait_for(drain_requests(Endless()), 20)


async def test_a_cancellation_is_stray_unless_the_task_is_being_cancelled() -> None:
    found: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            found.append(is_stray_cancellation(error))

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert found == [False]
    assert is_stray_cancellation(asyncio.CancelledError())
    assert not is_stray_cancellation(ValueError())


def test_a_failed_write_leaves_the_status_to_the_server() -> None:
    class Core:
        status = "what the server sent"

        def set_internal_error(self, error: str) -> None:
            self.status = error

    class Call:
        def __init__(self) -> None:
            self._cython_call: Any = Core()

    call = Call()
    keep_status(call)
    call._cython_call.set_internal_error("Internal error from Core")
    assert call._cython_call.status == "what the server sent"
    keep_status(object())  # a grpc that keeps its call elsewhere


def test_metadata_is_added_to_what_a_call_has_and_its_start_is_noted() -> None:
    started: list[tuple[str, Any]] = []

    class Channel:
        def unary_unary(self, path: str) -> Any:
            return lambda request, metadata: (path, request, metadata)

        unary_stream = stream_unary = stream_stream = unary_unary

    def prepare(path: str) -> tuple[tuple[tuple[str, str], ...], Any]:
        return (("x-added", "1"),), lambda call: started.append((path, call))

    channel: Any = wrap_each_call(Channel(), prepare)  # type: ignore[arg-type]
    call = channel.stream_stream("/a/B")(b"hi", metadata=(("x-own", "0"),))
    assert call == ("/a/B", b"hi", (("x-own", "0"), ("x-added", "1")))
    assert started == [("/a/B", call)]


@pytest.mark.parametrize(("text", "noise"), [("ExecuteBatchError raised in core", True), ("a failure", False)])
def test_what_grpc_logs_of_callers_who_left_is_noise(text: str, noise: bool) -> None:
    record = logging.LogRecord("grpc", logging.ERROR, "", 1, text, (), None)
    assert is_noise(record) is noise
