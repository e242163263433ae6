"""What batches of several sessions gain at the generator: pictures a second with eight sessions against one."""

import asyncio
import time

import numpy as np

from bench.measurement import Measurement
from bench.processes import run_service
from deepsing.rpc.channel import open_channel
from deepsing.v1.generator_pb2 import PRIORITY_LIVE, PRIORITY_OFFLINE, GenerateRequest, ListConceptsRequest
from deepsing.v1.generator_pb2_grpc import GeneratorServiceStub

__all__ = ["measure_batching"]

SESSIONS = 8
KINDS = {  # as the composer asks: pictures of a batch, batches of a session before the generator
    "live": (PRIORITY_LIVE, 2, 1),
    "offline": (PRIORITY_OFFLINE, 8, 3),
}


async def measure_batching(quick: bool) -> list[Measurement]:
    """Paints with one session and with eight in turn, live and offline."""
    rounds, seconds = (2, 1.0) if quick else (5, 4.0)
    found = []
    async with run_service("generator") as generator, open_channel(generator.target) as channel:
        stub = GeneratorServiceStub(channel)
        vocabulary = await stub.ListConcepts(ListConceptsRequest())
        for name, (priority, pictures, in_flight) in KINDS.items():
            weights = np.eye(len(vocabulary.concepts), dtype=np.float32)[np.zeros(pictures, int)].ravel()
            request = GenerateRequest(frame_count=pictures, class_weights=weights, priority=priority)
            pairs = [
                (
                    await _measure_rate(stub, request, 1, in_flight, seconds),
                    await _measure_rate(stub, request, SESSIONS, in_flight, seconds),
                )
                for _ in range(rounds)
            ]
            found += [
                Measurement(f"generator, 1 {name} session", "pictures/s", [one for one, _ in pairs]),
                Measurement(f"generator, {SESSIONS} {name} sessions", "pictures/s", [many for _, many in pairs]),
                Measurement(f"gain of {SESSIONS} {name} sessions", "x", [many / one for one, many in pairs]),
            ]
    return found


async def _measure_rate(
    stub: GeneratorServiceStub, request: GenerateRequest, sessions: int, in_flight: int, seconds: float
) -> float:
    began_s, painted = time.perf_counter(), 0

    async def ask(session: str) -> None:
        nonlocal painted
        own = GenerateRequest(session_id=session)
        own.MergeFrom(request)
        while time.perf_counter() - began_s < seconds:
            answer = await stub.Generate(own)
            painted += len(answer.images)  # an await within the sum would lose what others add meanwhile

    await asyncio.gather(*(ask(f"bench-{one}") for one in range(sessions) for _ in range(in_flight)))
    return painted / (time.perf_counter() - began_s)
