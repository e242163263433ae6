from collections.abc import AsyncIterator

import grpc
import pytest

from deepsing.runtime.channel import open_channel
from deepsing.runtime.server import GrpcServer
from deepsing.runtime.settings import ServerSettings
from tests.unit.runtime.echo import Echo, service


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def server(echo: Echo) -> AsyncIterator[GrpcServer]:
    """The echo service on a free port; a unary call may take 0.3 s."""
    server = GrpcServer(service(echo), ServerSettings(port=0, max_deadline_s=0.3))
    await server.start()
    yield server
    await server.drain(0)


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(server.address) as channel:
        yield channel
