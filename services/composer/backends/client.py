"""The three services behind the composer: one channel each, calls that are made again while that is safe."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import grpc

from deepsing.access.outgoing import open_service_channel
from deepsing.rpc.workarounds import keep_status
from deepsing.v1 import audio_sentiment_pb2, audio_sentiment_pb2_grpc, generator_pb2_grpc, translator_pb2_grpc
from services.composer.backends.hedging import Hedge
from services.composer.backends.retry import CircuitBreaker, Retry
from services.composer.settings import ComposerSettings

__all__ = ["BATCH_BYTES", "Backends", "call_deadline_s"]

Response = TypeVar("Response")
BATCH_BYTES = 24 * 2**20  # of the pictures of one batch, at most
SERVICES = ("audio_sentiment", "translator", "generator")
call_deadline_s: ContextVar[float] = ContextVar(
    "call_deadline_s", default=math.inf
)  # the caller's deadline, monotonic clock


class Backends:
    """Stubs of audio_sentiment, translator and generator; all their calls are pure, so trying again is safe."""

    def __init__(self, settings: ComposerSettings) -> None:
        self.settings = settings
        self.pace = Pace()
        self.breakers = {service: CircuitBreaker(service, settings.patience_s) for service in SERVICES}
        self.hedges = {service: Hedge(service) for service in SERVICES}
        targets = (settings.audio_sentiment_target, settings.translator_target, settings.generator_target)
        self.channels = [open_service_channel(target, max_message_bytes=BATCH_BYTES + 2**20) for target in targets]
        self.audio_sentiment = audio_sentiment_pb2_grpc.AudioSentimentServiceStub(self.channels[0])
        self.translator = translator_pb2_grpc.TranslatorServiceStub(self.channels[1])
        self.generator = generator_pb2_grpc.GeneratorServiceStub(self.channels[2])

    async def close(self) -> None:
        """Closes the channels."""
        await asyncio.gather(*(channel.close() for channel in self.channels))

    async def call(
        self,
        method: Callable[..., Awaitable[Response]],
        request: Any,
        service: str,
        fits: Callable[[Response], bool] = lambda answer: True,
    ) -> Response:
        """Calls a unary method until it answers, is refused, or the service stayed away for too long.

        Args:
            method: of a stub.
            request: its message.
            service: its name, for messages.
            fits: whether the answer is of the model that is meant; a replica with another one is passed over.

        Raises:
            InvalidArgument, FailedPrecondition: the service refused the request; its reason is passed on.
            Unavailable: DEPENDENCY_UNAVAILABLE.
        """
        retry, hedge = Retry(self.breakers[service]), self.hedges[service]
        while True:
            retry.begin()
            try:
                answer: Response = await hedge.race(
                    lambda: method(request, timeout=min(self.settings.call_timeout_s, _remaining_s())), type(request)
                )
                if fits(answer):
                    retry.record_success()
                    return answer
                await retry.wait_after_mismatch()
            except grpc.aio.AioRpcError as error:
                await retry.wait_or_raise(error)

    async def analyze(
        self, requests: Callable[[], AsyncIterator[audio_sentiment_pb2.AnalyzeRequest]], complete: Callable[[], bool]
    ) -> AsyncGenerator[audio_sentiment_pb2.AnalyzeResponse]:
        """Streams a song through audio_sentiment; begins anew where the service breaks off, and hides that.

        Args:
            requests: makes the upload from its start, as often as it is called.
            complete: whether the whole song is there; from then on a service that is silent for as long as a call may
                take is as one that is away.
        """
        retry, received = Retry(self.breakers["audio_sentiment"]), 0
        while True:
            retry.begin()
            remaining_s = _remaining_s()
            call = self.audio_sentiment.Analyze(requests(), timeout=None if remaining_s == math.inf else remaining_s)
            keep_status(call)
            place = 0
            try:
                while (response := await self._read_response(call, complete)) is not None:
                    if response is grpc.aio.EOF:
                        return
                    if response.HasField("progress"):  # told again after a break; the listener sees what is new
                        yield response
                        continue
                    place += 1
                    if place > received:
                        received = place
                        retry.record_success()
                        yield response
                await retry.wait()
            except grpc.aio.AioRpcError as error:
                await retry.wait_or_raise(error)
            finally:
                call.cancel()

    async def _read_response(self, call: Any, complete: Callable[[], bool]) -> Any:
        """The next response, EOF after the last, or None where the service says nothing though it could."""
        response_task = asyncio.ensure_future(call.read())
        try:
            while not (await asyncio.wait({response_task}, timeout=self.settings.call_timeout_s))[0]:
                if complete():
                    return None
            return response_task.result()
        finally:
            response_task.cancel()


class Pace:
    """How long the generator lately worked on a frame."""

    def __init__(self) -> None:
        self.frame_us = 0.0

    def record(self, frame_us: float) -> None:
        """Takes the latest measurement."""
        self.frame_us = 0.9 * self.frame_us + 0.1 * frame_us if self.frame_us else frame_us


def _remaining_s() -> float:
    """What is left of the caller's time; inf is no limit."""
    return max(0.0, call_deadline_s.get() - time.monotonic())
