"""Fakes of the three services that the composer calls, on real ports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import grpc
import numpy as np
from PIL import Image

from deepsing.v1 import (
    audio_sentiment_pb2_grpc,
    composer_pb2_grpc,
    generator_pb2_grpc,
    sentiment_pb2,
    translator_pb2_grpc,
)
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import generator_pb2 as gen
from deepsing.v1 import translator_pb2 as tr
from services.composer.rpc import SERVICE, ComposerServicer
from services.composer.settings import ComposerSettings
from tests.unit.composer.fake_audio_sentiment import FakeAudioSentiment

WINDOW_S = 0.5
CONCEPTS, STYLES, NOISE = 6, 3, 128
RATED_BY = sentiment_pb2.RATING_SOURCE_PEOPLE


class FakeTranslator(translator_pb2_grpc.TranslatorServiceServicer):
    """Concepts in turn, of those allowed, for any sentiment; its judge reads light as arousal, dark as valence."""

    def __init__(self) -> None:
        self.reads: list[tr.ReadPicturesRequest] = []
        self.asked: list[tr.TranslateRequest] = []
        self.obeys = True  # False: it does not know allowed_concepts, as one of an older release
        self.name = "dictionary"
        self.judge_error: grpc.StatusCode | None = None  # status that the judge fails with
        self.judge_release: asyncio.Event | None = None  # if set, the judge waits for it
        self.unreadable = False  # True: its judge answers NaN

    async def ReadPictures(
        self, request: tr.ReadPicturesRequest, context: grpc.aio.ServicerContext
    ) -> tr.ReadPicturesResponse:
        self.reads.append(request)
        if self.judge_release is not None:
            await self.judge_release.wait()
        if self.judge_error is not None:
            await context.abort(self.judge_error, "no judge here")
        light = [np.asarray(Image.open(BytesIO(one.image))).mean() / 127.5 - 1 for one in request.pictures]
        light = [float("nan") for _ in light] if self.unreadable else light
        return tr.ReadPicturesResponse(
            achieved=[sentiment_pb2.Sentiment(arousal=value, valence=-value) for value in light],
            judge=sentiment_pb2.Judge(
                digest="ee",
                arousal=sentiment_pb2.JudgeAgreement(r=0.7, n=900),
                valence=sentiment_pb2.JudgeAgreement(r=0.6, n=900),
            ),
        )

    async def Translate(self, request: tr.TranslateRequest, context: grpc.aio.ServicerContext) -> tr.TranslateResponse:
        classes = np.zeros(CONCEPTS, np.float32)
        allowed = list(request.allowed_concepts if self.obeys else ()) or range(CONCEPTS)
        classes[allowed[request.first_index % len(allowed)]] = 1
        self.asked.append(request)
        noise = np.random.default_rng([request.seed, request.first_index]).normal(size=NOISE).astype(np.float32)
        return tr.TranslateResponse(
            concept_count=CONCEPTS,
            noise_size=NOISE,
            class_weights=classes,
            noise=noise,
            expected=request.sentiments,
            model_digest="bb",
        )

    async def ListTranslators(self, request: Any, context: grpc.aio.ServicerContext) -> tr.ListTranslatorsResponse:
        return tr.ListTranslatorsResponse(translators=[tr.Translator(name=self.name, engine="fake", digest="bb")])


class FakeGenerator(generator_pb2_grpc.GeneratorServiceServicer):
    """Plain pictures whose grey level depends on concepts and noise."""

    def __init__(self) -> None:
        self.calls: list[gen.GenerateRequest] = []
        self.failures = 0  # number of calls that will fail with `failure`
        self.failure = grpc.StatusCode.UNAVAILABLE
        self.mismatch_count = 0  # number of calls that will be answered with another engine's digest
        self.remaining_s: list[float | None] = []  # time until each call's deadline, when it arrived
        self.release: asyncio.Event | None = None  # if set, calls wait for it
        self.most_calls: int | None = None  # further calls wait for ever
        self.stuck = asyncio.Event()  # set by the first of them
        self.free_call_count = 0  # number of calls that do not wait for `release`
        self.paint_rate = self.style_paint_rate = 0.0  # pictures a second that it asks for
        self.has_detail = False  # True: pictures have places that can be told apart
        self.themes: dict[int, tuple[str, ...]] = {}  # of its concepts, by number
        self.raters: dict[int, Any] = {}
        self.rated_by = RATED_BY
        self.called = asyncio.Event()  # set by the first call
        self.cancelled = asyncio.Event()  # set when a call is cancelled

    async def Generate(self, request: gen.GenerateRequest, context: grpc.aio.ServicerContext) -> gen.GenerateResponse:
        self.calls.append(request)
        self.remaining_s.append(context.time_remaining())
        self.called.set()
        if self.failures:
            self.failures -= 1
            await context.abort(self.failure, "gone")
        digest = "cc" if not self.mismatch_count else "stranger"
        self.mismatch_count = max(0, self.mismatch_count - 1)
        try:
            if self.release is not None and len(self.calls) > self.free_call_count:
                await self.release.wait()
            if self.most_calls is not None and len(self.calls) > self.most_calls:
                self.stuck.set()
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        shades = np.array(request.class_weights).reshape(request.frame_count, -1) @ np.linspace(40, 200, CONCEPTS)
        shades += np.array(request.noise).reshape(request.frame_count, -1).mean(axis=1)
        form = (request.size.height_px, request.size.width_px, 3)
        detail = np.arange(np.prod(form)).reshape(form) % 40 if self.has_detail else 0
        images = [(np.full(form, np.uint8(shade)) + np.uint8(detail)).tobytes() for shade in shades]
        return gen.GenerateResponse(images=images, size=request.size, engine_digest=digest, compute_us=1000)

    async def ListConcepts(self, request: Any, context: grpc.aio.ServicerContext) -> gen.ListConceptsResponse:
        size = sentiment_pb2.Size(width_px=64, height_px=64)
        sentiments = [sentiment_pb2.Sentiment(arousal=0.3 * i - 0.75, valence=0.75 - 0.3 * i) for i in range(CONCEPTS)]
        concepts = [
            gen.Concept(
                name=f"c{i}", sentiment=sentiment, themes=self.themes.get(i, ()), rated_by=self.raters.get(i, 0)
            )
            for i, sentiment in enumerate(sentiments)
        ]
        engine = gen.Engine(name="fake", native_size=size, noise_size=NOISE, digest="cc", rated_by=self.rated_by)
        engine.paint_rate = self.paint_rate
        return gen.ListConceptsResponse(engine=engine, concepts=concepts)

    async def ListStyles(self, request: Any, context: grpc.aio.ServicerContext) -> gen.ListStylesResponse:
        sentiments = [sentiment_pb2.Sentiment(valence=v) for v in (-0.6, 0.0, 0.6)]
        styles = [gen.Style(name=f"s{i}", sentiment=sentiments[i]) for i in range(STYLES)]
        return gen.ListStylesResponse(styles=styles, digest="dd", paint_rate=self.style_paint_rate)


@dataclass
class Stage:
    """A composer with the fakes of its services, and a stub to call it."""

    servicer: ComposerServicer
    stub: composer_pb2_grpc.ComposerServiceStub
    port: int
    audio: FakeAudioSentiment = field(default_factory=FakeAudioSentiment)
    generator: FakeGenerator = field(default_factory=FakeGenerator)
    translator: FakeTranslator = field(default_factory=FakeTranslator)

    @property
    def target(self) -> str:
        """The composer's address."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def stage(*, protect: Any = None, **settings: Any) -> AsyncIterator[Stage]:
    """Starts everything on free loopback ports; for `protect` see Service."""
    from deepsing.runtime.server import GrpcServer, ServerSecurity, Service
    from deepsing.runtime.settings import ServerSettings

    behind, fakes = grpc.aio.server(), (FakeAudioSentiment(), FakeTranslator(), FakeGenerator())
    audio_sentiment_pb2_grpc.add_AudioSentimentServiceServicer_to_server(fakes[0], behind)
    translator_pb2_grpc.add_TranslatorServiceServicer_to_server(fakes[1], behind)
    generator_pb2_grpc.add_GeneratorServiceServicer_to_server(fakes[2], behind)
    target = f"127.0.0.1:{behind.add_insecure_port('127.0.0.1:0')}"
    await behind.start()
    targets = dict.fromkeys(("audio_sentiment_target", "translator_target", "generator_target"), target)
    servicer = ComposerServicer(ComposerSettings(**{**targets, "patience_s": 1.0, **settings}))

    async def open_servicer() -> ComposerServicer:
        return servicer

    service = Service(
        "composer",
        "deepsing.v1.ComposerService",
        composer_pb2_grpc.add_ComposerServiceServicer_to_server,
        open_servicer,
        SERVICE.largest_request_bytes,
        protect or (lambda name: ServerSecurity()),
    )
    server = GrpcServer(service, ServerSettings(port=0))
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = composer_pb2_grpc.ComposerServiceStub(channel)
        try:
            yield Stage(servicer, stub, port, fakes[0], fakes[2], fakes[1])
        finally:
            await server.drain(0.5)
            await behind.stop(0)


def pcm(seconds: float, rate: int = 8000) -> bytes:
    """A tone as raw 16-bit samples."""
    wave = 12_000 * np.sin(np.arange(round(seconds * rate)) * 0.2)
    return wave.astype("<i2").tobytes()


def config(**fields: Any) -> pb.StoryConfig:
    """A config for raw samples at 8 kHz, small pictures and plenty of credit."""
    form = sentiment_pb2.AudioFormat(
        sample_format=sentiment_pb2.SAMPLE_FORMAT_S16LE, sample_rate_hz=8000, channel_count=1
    )
    usual: dict[str, Any] = {"audio_format": form, "initial_credit": 100_000, "image_format": 1, "seed": 7}
    return pb.StoryConfig(**{**usual, **fields})


async def upload(story: pb.StoryConfig, song: bytes) -> AsyncIterator[pb.ComposeRequest]:
    """Config, the song in chunks, and its end."""
    yield pb.ComposeRequest(config=story)
    for first in range(0, len(song), 65_536):
        yield pb.ComposeRequest(audio_chunk=song[first : first + 65_536])
    yield pb.ComposeRequest(end_of_audio=pb.EndOfAudio())


@asynccontextmanager
async def stage_of_passages(**settings: Any) -> AsyncIterator[Stage]:
    """A stage on which songs have passages of 4 s, in the form A B A C B, and pictures show what they are made of."""
    async with stage(**settings) as running:
        running.audio.form = (0, 1, 0, 2, 1)
        running.generator.has_detail, running.generator.paint_rate = True, 12.0
        yield running


__all__ = ["FakeGenerator", "Stage", "config", "pcm", "stage", "stage_of_passages", "upload"]
