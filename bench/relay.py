"""Frames a second through the composer when pictures cost nothing: a stub takes the place of the generator."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from bench.measurement import Measurement
from bench.processes import RunningService, cpu_s, run_service
from bench.songs import BUNDLED
from deepsing.client import Client, StoryOptions
from deepsing.client.options import Images
from deepsing.rpc.channel import open_channel
from deepsing.v1 import generator_pb2, generator_pb2_grpc
from deepsing.v1.composer_pb2 import Frame
from deepsing.v1.sentiment_pb2 import Sentiment, Size
from deepsing.v1.translator_pb2 import TranslateRequest
from deepsing.v1.translator_pb2_grpc import TranslatorServiceStub

__all__ = ["measure_relay"]

FPS = 60
WAYS: dict[str, tuple[Images, int]] = {  # what a caller asks for: format, side in pixels
    "256 px, encoded as JPEG of 30 KB": ("jpeg", 256),
    "256 px, raw": ("raw", 256),
    "relayed at 30 KB (100 px, raw)": ("raw", 100),
}
SEED, GRAIN = 11, 16.0  # of the pictures, in levels
PICTURES = 16  # made beforehand, shown in turn
DIGEST = "0" * 64  # of the stub's engine and style
WINDOW = 256  # frames on their way to the reader


def make_pictures(side: int) -> list[npt.NDArray[np.uint8]]:
    """Grainy pictures, of 256 px about 30 KB as JPEG, whose light moves slowly: they do not flash."""
    grain = np.random.default_rng(SEED).normal(0, GRAIN, (side, side, 3))
    rows, columns = np.mgrid[0:side, 0:side][..., None] / 40
    moves = [10 * np.sin(rows + columns + 2 * np.pi * place / PICTURES) for place in range(PICTURES)]
    return [(128 + grain + move).clip(0, 255).astype(np.uint8) for move in moves]


class _StubGenerator(generator_pb2_grpc.GeneratorServiceServicer):
    """Answers as the generator does, with pictures made beforehand."""

    def __init__(self, concept_count: int, noise_size: int) -> None:
        self._pictures = {side: [picture.tobytes() for picture in make_pictures(side)] for _, side in WAYS.values()}
        self._concepts = [generator_pb2.Concept(name=f"concept {i}") for i in range(concept_count)]
        size = Size(width_px=256, height_px=256)
        self._engine = generator_pb2.Engine(name="stub", native_size=size, noise_size=noise_size, digest=DIGEST)

    async def ListConcepts(self, request: Any, context: Any) -> generator_pb2.ListConceptsResponse:
        return generator_pb2.ListConceptsResponse(engine=self._engine, concepts=self._concepts)

    async def ListStyles(self, request: Any, context: Any) -> generator_pb2.ListStylesResponse:
        return generator_pb2.ListStylesResponse(styles=[generator_pb2.Style(name="plain")], digest=DIGEST)

    async def Generate(self, request: Any, context: Any) -> generator_pb2.GenerateResponse:
        made = self._pictures[request.size.width_px]
        images = [made[place % PICTURES] for place in range(request.frame_count)]
        return generator_pb2.GenerateResponse(images=images, size=request.size, engine_digest=DIGEST)


async def measure_relay(quick: bool) -> list[Measurement]:
    """Composes the bundled song at 60 frames a second; counts from the first frame to the last."""
    async with (
        run_service("audio_sentiment") as audio,
        run_service("translator") as translator,
        _stub_generator(translator.target) as generator,
        run_service(
            "composer",
            DEEPSING_COMPOSER_AUDIO_SENTIMENT_TARGET=audio.target,
            DEEPSING_COMPOSER_TRANSLATOR_TARGET=translator.target,
            DEEPSING_COMPOSER_GENERATOR_TARGET=generator,
        ) as composer,
    ):
        found: list[Measurement] = []
        for way, (images, side) in WAYS.items():
            options = StoryOptions(fps=FPS, images=images, size=f"{side}x{side}", duration_s=20 if quick else None)
            rounds = [await _measure_story(composer, options) for _ in range(1 if quick else 5)]
            name = f"composer with a stub generator, frames {way}"
            found += [
                Measurement(name, "frames/s", [rate for rate, _ in rounds]),
                Measurement(f"{name}: CPU", "ms/frame", [cpu_ms for _, cpu_ms in rounds]),
            ]
        return found


async def _measure_story(composer: RunningService, options: StoryOptions) -> tuple[float, float]:
    """Frames a second from the first to the last, and the composer's processor time a frame, ms."""
    times: list[float] = []
    used_s = cpu_s(composer.pid)
    async with (
        Client(composer.target, credit_window=WINDOW) as client,
        aclosing(client.compose(BUNDLED, options)) as events,
    ):
        async for event in events:
            if isinstance(event, Frame):
                times.append(time.perf_counter())
    return (len(times) - 1) / (times[-1] - times[0]), 1e3 * (cpu_s(composer.pid) - used_s) / len(times)


@asynccontextmanager
async def _stub_generator(translator: str) -> AsyncIterator[str]:
    """Serves the stub with as many concepts as the translator has."""
    async with open_channel(translator) as channel:
        answer = await TranslatorServiceStub(channel).Translate(TranslateRequest(sentiments=[Sentiment()]))
    server = grpc.aio.server()
    stub = _StubGenerator(answer.concept_count, answer.noise_size)
    generator_pb2_grpc.add_GeneratorServiceServicer_to_server(stub, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
