import asyncio
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from deepsing.rpc.channel import open_channel
from deepsing.runtime.batching import MicroBatcher
from deepsing.runtime.onnx import DeviceThread
from deepsing.runtime.server import GrpcServer
from deepsing.runtime.settings import ServerSettings
from tests.unit.runtime.echo import Echo, service
from tests.unit.runtime.machine import Machine


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def server(echo: Echo) -> AsyncIterator[GrpcServer]:
    """The echo service on a free port."""
    server = GrpcServer(service(echo), ServerSettings(port=0))
    await server.start()
    yield server
    await server.drain(0)


@pytest.fixture
async def impatient(echo: Echo) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the echo service where a unary call may take 0.3 s."""
    server = GrpcServer(service(echo), ServerSettings(port=0, max_deadline_s=0.3))
    await server.start()
    async with open_channel(server.address) as channel:
        yield channel
    await server.drain(0)


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(server.address) as channel:
        yield channel


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def device() -> Iterator[DeviceThread]:
    device = DeviceThread()
    yield device
    device.close()


@pytest.fixture
def batcher(machine: Machine, device: DeviceThread) -> MicroBatcher[int, int]:
    return MicroBatcher(machine.compute, device, max_batch=4, max_wait_s=0.05, max_queue=8)


@pytest.fixture
async def running_job(machine: Machine, batcher: MicroBatcher[int, int]) -> AsyncIterator[asyncio.Task[int]]:
    """The device is at work on job 0 until the gate opens."""
    machine.gate.clear()
    first = asyncio.create_task(batcher.submit(0))
    await asyncio.to_thread(machine.busy.wait, 10)
    yield first
    machine.gate.set()
    await first
