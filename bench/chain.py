"""What the generator's service costs over its bare network: checks, queue, conversion and gRPC."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from bench.measurement import Measurement
from bench.processes import run_service
from deepsing.rpc.channel import open_channel
from deepsing.runtime.artifacts import load_artifact
from deepsing.runtime.cores import available_cores
from deepsing.runtime.onnx import open_session
from deepsing.v1.generator_pb2 import GenerateRequest, ListConceptsRequest
from deepsing.v1.generator_pb2_grpc import GeneratorServiceStub
from services.generator.engine import Engine

__all__ = ["measure_chain"]

WEIGHTS = Path(__file__).resolve().parents[1] / "services" / "generator" / "weights" / "canvas.json"
BATCH = 8  # as the composer asks
IN_FLIGHT = 3  # batches before the generator at a time, as the composer keeps them
SEED = 5
Round = Callable[[], Awaitable[float]]


async def measure_chain(quick: bool) -> list[Measurement]:
    """Paints the same number of pictures through the service and with the bare engine, in turn, on equal threads."""
    rounds, batches = (2, 6) if quick else (7, 24)
    async with _open_service(batches) as served, _open_bare(batches) as bare:
        await bare()
        await served()
        pairs = [(await bare(), await served()) for _ in range(rounds)]
    return [
        Measurement("bare engine", "pictures/s", [rate for rate, _ in pairs]),
        Measurement("generator service over gRPC", "pictures/s", [rate for _, rate in pairs]),
        Measurement("overhead of the chain", "%", [100 * (rate / less - 1) for rate, less in pairs], "<= 25"),
    ]


@asynccontextmanager
async def _open_bare(batches: int) -> AsyncIterator[Round]:
    """Pictures a second of the engine alone: one row a run, side by side on all cores, as the service runs it."""
    manifest, file = load_artifact(WEIGHTS)
    engine = Engine(manifest.name, manifest.sha256, open_session(file, threads=1))
    random = np.random.default_rng(SEED)
    rows = [
        (
            np.eye(len(engine.concepts), dtype=np.float32)[random.integers(len(engine.concepts), size=1)],
            random.standard_normal((1, engine.noise_size), dtype=np.float32),
            np.full(1, 0.5, dtype=np.float32),
        )
        for _ in range(BATCH * batches)
    ]

    def paint() -> float:
        began = time.perf_counter()
        list(lanes.map(lambda row: engine.paint(*row), rows))
        return len(rows) / (time.perf_counter() - began)

    with ThreadPoolExecutor(available_cores()) as lanes:
        yield lambda: asyncio.to_thread(paint)


@asynccontextmanager
async def _open_service(batches: int) -> AsyncIterator[Round]:
    """Pictures a second through the service: raw pictures of the engine's own size, unstyled."""
    async with run_service("generator") as service, open_channel(service.target) as channel:
        stub = GeneratorServiceStub(channel)
        vocabulary = await stub.ListConcepts(ListConceptsRequest())
        request = _request(len(vocabulary.concepts), vocabulary.engine.noise_size)
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def one() -> None:
            async with slots:
                await stub.Generate(request)

        async def paint() -> float:
            began = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(batches)))
            return batches * BATCH / (time.perf_counter() - began)

        yield paint


def _request(concept_count: int, noise_size: int) -> GenerateRequest:
    """A batch between two concepts, with noise: what the composer asks along a path."""
    generator = np.random.default_rng(SEED)
    weights = np.zeros((BATCH, concept_count), np.float32)
    weights[:, 0] = np.linspace(0, 1, BATCH)
    weights[:, 1] = 1 - weights[:, 0]
    noise = generator.standard_normal(BATCH * noise_size).clip(-2, 2)
    return GenerateRequest(
        frame_count=BATCH, class_weights=weights.ravel(), noise=noise, truncation=0.3, session_id=f"bench-{os.getpid()}"
    )
