"""Large messages are let in one after another, before any of them is read; no caller keeps the others out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from deepsing.rpc.channel import open_channel
from deepsing.rpc.errors import DeadlineExceeded
from deepsing.runtime import bodies
from deepsing.runtime.bodies import BodyGate, read_late
from deepsing.runtime.server import GrpcServer
from deepsing.runtime.settings import ServerSettings
from tests.unit.runtime.echo import Echo, call, service

MIB = 2**20
SOON_S = 20.0


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> BodyGate:
    monkeypatch.setattr(bodies, "LEAST_BYTES", 0)
    return BodyGate(2 * MIB)  # six in all, of which a caller receives one at a time


async def enter(gate: BodyGate, owner: str, entered: list[str], leave: asyncio.Event, size: int = 0) -> None:
    """Receives for as long as `leave` is not set, or with a size, handles a message of it."""
    async with gate.admit(owner) as body:
        entered.append(owner)
        if size:
            body.shrink(size)
        await leave.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_as_many_are_let_in_as_there_is_memory_for_and_a_caller_has_half(gate: BodyGate) -> None:
    entered: list[str] = []
    leave = asyncio.Event()
    tasks = [asyncio.create_task(enter(gate, "greedy", entered, leave)) for _ in range(5)]
    await settle()
    assert entered == ["greedy"]
    tasks.append(asyncio.create_task(enter(gate, "modest", entered, leave)))
    await settle()
    assert entered == ["greedy", "modest"]
    assert gate._free == 2 * MIB
    leave.set()
    await asyncio.gather(*tasks)
    assert entered == ["greedy", "modest", *["greedy"] * 4]
    assert (gate._free, gate._held) == (6 * MIB, {})


async def test_a_small_message_leaves_room_for_the_next_once_it_is_there(gate: BodyGate) -> None:
    entered: list[str] = []
    leave = asyncio.Event()
    tasks = [asyncio.create_task(enter(gate, "one", entered, leave, size=10)) for _ in range(50)]
    await settle()
    async with asyncio.timeout(SOON_S):
        while len(entered) < 50:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)
    leave.set()
    await asyncio.gather(*tasks)


async def test_who_is_cancelled_while_it_waits_takes_nothing_with_it(gate: BodyGate) -> None:
    entered: list[str] = []
    leave = asyncio.Event()
    tasks = [asyncio.create_task(enter(gate, "one", entered, leave)) for _ in range(3)]
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert (gate._free, gate._held, gate._waiting) == (6 * MIB, {}, [])


async def test_a_message_that_does_not_come_ends_and_others_come_in_meanwhile(gate: BodyGate) -> None:
    class Context:
        def __init__(self, peer: str) -> None:
            self.peer = lambda: peer

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async def once() -> AsyncIterator[bytes]:
        yield b"hello"

    async def answer(request: bytes, context: Any) -> bytes:
        return request

    method = read_late(grpc.unary_unary_rpc_method_handler(answer), gate, 0.2).stream_unary
    slow = [asyncio.create_task(method(never(), Context("slow"))) for _ in range(3)]
    await settle()
    assert await method(once(), Context("honest")) == b"hello"
    assert not any(task.done() for task in slow)
    for task in slow:
        with pytest.raises(DeadlineExceeded, match=r"no request came within 0.2 s"):
            await task
    assert gate._free == 6 * MIB


async def test_a_server_holds_no_more_of_large_messages_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LEAST_BYTES", 0)
    echo = Echo()
    server = GrpcServer(service(echo), ServerSettings(port=0, max_message_bytes=2 * MIB))
    await server.start()
    gate, most = server._guard._bodies, 0
    async with open_channel(server.address) as channel:
        calls = [asyncio.create_task(call(channel, "unary_unary", bytes(2 * MIB - 100))) for _ in range(20)]
        while not all(one.done() for one in calls):
            most = max(most, 6 * MIB - gate._free)
            await asyncio.sleep(0.001)
        assert {len(one.result()) for one in calls} == {2 * MIB - 100}
        assert 0 < most <= 6 * MIB
    await server.drain(0)
