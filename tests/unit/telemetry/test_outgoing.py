"""What calls from inside a call take along, over real ports."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from deepsing.access.outgoing import open_channel
from deepsing.runtime.server import GrpcServer, Service
from deepsing.runtime.settings import ServerSettings
from deepsing.telemetry.ids import session_id
from tests.unit.runtime.echo import KINDS

NAME = "deepsing.test.RelayService"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
IDS = ("x-request-id", "x-session-id", "traceparent", "authorization")


class Relay:
    """`unary_unary` calls another service by the kind named in the request; all others note their metadata."""

    def __init__(self) -> None:
        self.behind: Any = None
        self.seen: dict[str, str] = {}

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        if not request:
            return self._note(context)
        session_id.set("story-1")
        await asyncio.create_task(call_relay(self.behind, request.decode()))  # ids go on in tasks that are begun here
        return b""

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return self._note(context)

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield self._note(context)

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        yield self._note(context)

    def _note(self, context: Any) -> bytes:
        self.seen = {key: value for key, value in context.invocation_metadata() if key in IDS}
        return b""


async def call_relay(channel: Any, kind: str, request: bytes = b"", **options: Any) -> None:
    call = getattr(channel, kind)(f"/{NAME}/{kind}")(
        iter([request]) if kind.startswith("stream") else request, **options
    )
    if kind.endswith("stream"):
        _ = [answer async for answer in call]
    else:
        await call


@pytest.fixture
async def relays() -> AsyncIterator[tuple[Any, Relay]]:
    """A channel to the first of two relays, and the second."""
    relays = (Relay(), Relay())
    servers = [GrpcServer(_service(relay), ServerSettings(port=0)) for relay in relays]
    for server in servers:
        await server.start()
    async with open_channel(servers[0].address) as first, open_channel(servers[1].address, key="k") as second:
        relays[0].behind = second
        yield first, relays[1]
    for server in servers:
        await server.drain(0)


def _service(relay: Relay) -> Service:
    def register(servicer: Relay, server: Any) -> None:
        handlers = {kind: getattr(grpc, f"{kind}_rpc_method_handler")(getattr(servicer, kind)) for kind in KINDS}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))

    async def open_relay() -> Relay:
        return relay

    return Service(name="relay", grpc_name=NAME, register=register, open=open_relay)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_takes_the_ids_of_the_call_it_is_made_for_and_its_key(
    relays: tuple[Any, Relay], kind: str
) -> None:
    first, behind = relays
    await call_relay(
        first, "unary_unary", kind.encode(), metadata=(("x-request-id", "r1"), ("traceparent", PARENT), ("other", "x"))
    )
    assert behind.seen == {
        "x-request-id": "r1",
        "x-session-id": "story-1",
        "traceparent": PARENT,  # traces are off here: it is passed on as it came
        "authorization": "Bearer k",
    }


async def test_a_call_of_nobody_carries_nothing(relays: tuple[Any, Relay]) -> None:
    _, behind = relays
    relay = Relay()
    server = GrpcServer(_service(relay), ServerSettings(port=0))
    await server.start()
    async with open_channel(server.address) as channel:
        await call_relay(channel, "unary_unary")
    assert relay.seen == {}
    assert behind.seen == {}
    await server.drain(0)
