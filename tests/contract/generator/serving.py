"""The generator behind a real port, with the small networks of the golden tests."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import numpy as np

from deepsing.rpc.channel import open_channel
from deepsing.runtime.server import GrpcServer, Service
from deepsing.runtime.settings import ServerSettings
from deepsing.v1 import generator_pb2, generator_pb2_grpc
from services.generator import rpc
from services.generator.settings import Settings
from tests.unit.generator.opened import WEIGHTS

__all__ = ["Stub", "make_request", "open_tiny", "serve"]

Stub = generator_pb2_grpc.GeneratorServiceStub
Opener = Callable[[], Awaitable[rpc.GeneratorServicer]]


def make_request(count: int = 1, **fields: object) -> generator_pb2.GenerateRequest:
    rows = np.random.default_rng(3).dirichlet(np.ones(3), 16)[:count]
    given = {"frame_count": count, "class_weights": rows.ravel().tolist(), "truncation": 0.5, **fields}
    return generator_pb2.GenerateRequest(**given)  # type: ignore[arg-type]


async def open_tiny() -> rpc.GeneratorServicer:
    return await asyncio.to_thread(rpc.open_generator, Settings(engines=("tiny",), weights=(str(WEIGHTS),)))


async def serve(opener: Opener, **limits: float) -> tuple[GrpcServer, grpc.aio.Channel]:
    service = Service(rpc.SERVICE.name, rpc.SERVICE.grpc_name, rpc.SERVICE.register, opener)
    server = GrpcServer(service, ServerSettings(port=0, **limits))  # type: ignore[arg-type]
    await server.start()
    return server, open_channel(server.address)
