"""The three services behind the composer: one channel each, calls that are tried again while that is safe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc

from deepsing.access.outgoing import service_channel
from deepsing.runtime.early_end import keep_status
from deepsing.runtime.errors import InvalidInput, NotReady, ServiceError, TooLate, Unmet, error_of
from deepsing.v1 import audio_sentiment_pb2, audio_sentiment_pb2_grpc, generator_pb2_grpc, translator_pb2_grpc
from deepsing.v1 import error_reason_pb2 as reasons
from services.composer.meters import PEER_FAILURES, PEER_RETRIES
from services.composer.settings import ComposerSettings

__all__ = ["BATCH_BYTES", "Peers"]

Response = TypeVar("Response")
AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}
REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
BATCH_BYTES = 24 * 2**20  # of the pictures of one batch, at most
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
RETRY_AFTER_S = 5.0


class Peers:
    """Stubs of audio_sentiment, translator and generator; all their calls are pure, so trying again is safe."""

    def __init__(self, settings: ComposerSettings) -> None:
        self.settings = settings
        self.pace = Pace()
        targets = (settings.audio_sentiment_target, settings.translator_target, settings.generator_target)
        self.channels = [service_channel(target, max_message_bytes=BATCH_BYTES + 2**20) for target in targets]
        self.audio_sentiment = audio_sentiment_pb2_grpc.AudioSentimentServiceStub(self.channels[0])
        self.translator = translator_pb2_grpc.TranslatorServiceStub(self.channels[1])
        self.generator = generator_pb2_grpc.GeneratorServiceStub(self.channels[2])

    async def close(self) -> None:
        """Closes the channels."""
        await asyncio.gather(*(channel.close() for channel in self.channels))

    async def call(self, method: Callable[..., Awaitable[Response]], request: Any, service: str) -> Response:
        """Calls a unary method until it answers, is refused, or the service stayed away for too long.

        Raises:
            InvalidInput, Unmet: the service refused the request; its reason is passed on.
            NotReady: DEPENDENCY_UNAVAILABLE.
        """
        attempts = Attempts(service, self.settings.patience_s)
        while True:
            call: Any = method(request, timeout=self.settings.call_timeout_s)
            try:
                answer: Response = await call
                return answer
            except grpc.aio.AioRpcError as error:
                await attempts.after(error)
            finally:
                call.cancel()  # a task that is cancelled before its request is out would leave the call running

    async def analyze(
        self, requests: Callable[[], AsyncIterator[audio_sentiment_pb2.AnalyzeRequest]]
    ) -> AsyncGenerator[audio_sentiment_pb2.AnalyzeResponse]:
        """Streams a song through audio_sentiment; begins anew where the service breaks off, and hides that.

        Args:
            requests: makes the upload from its start, as often as it is called.
        """
        attempts, received = Attempts("audio_sentiment", self.settings.patience_s), 0
        while True:
            call = self.audio_sentiment.Analyze(requests())
            keep_status(call)
            place = 0
            try:
                async for response in call:
                    place += 1
                    if place > received:
                        received = place
                        attempts.succeed()
                        yield response
                return
            except grpc.aio.AioRpcError as error:
                await attempts.after(error)
            finally:
                call.cancel()


class Pace:
    """How long the generator lately worked on a frame."""

    def __init__(self) -> None:
        self.frame_us = 0.0

    def note(self, frame_us: float) -> None:
        """Takes the latest measurement."""
        self.frame_us = 0.9 * self.frame_us + 0.1 * frame_us if self.frame_us else frame_us


class Attempts:
    """Decides after each failure whether to wait and try again, or what to tell the caller."""

    def __init__(self, service: str, patience_s: float) -> None:
        self.service, self.patience_s = service, patience_s
        self.succeed()

    def succeed(self) -> None:
        """The service is there: patience starts anew."""
        self.since, self.pause_s = time.monotonic(), FIRST_PAUSE_S

    async def after(self, error: grpc.aio.AioRpcError) -> None:
        """Waits, or raises what the caller is to see."""
        if error.code() not in REFUSALS:
            PEER_FAILURES.add(1, self.service, error.code().name)
        if error.code() not in AGAIN:
            raise passed_on(error, self.service) from error
        if time.monotonic() - self.since > self.patience_s:
            message = f"{self.service} does not answer; try again in {RETRY_AFTER_S:g} s"
            reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
            raise NotReady(message, reason=reason, retry_after_s=RETRY_AFTER_S, service=self.service) from error
        PEER_RETRIES.add(1, self.service)
        await asyncio.sleep(self.pause_s)
        self.pause_s = min(LONGEST_PAUSE_S, 2 * self.pause_s)


def passed_on(error: grpc.aio.AioRpcError, service: str) -> ServiceError:
    """A refusal of a service behind as the composer's own; anything but a refusal is that service's failure."""
    name, metadata = error_of(error)
    kinds = {
        grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
        grpc.StatusCode.FAILED_PRECONDITION: Unmet,
        grpc.StatusCode.DEADLINE_EXCEEDED: TooLate,
    }
    if error.code() in kinds and name:
        reason = reasons.ErrorReason.Value(f"ERROR_REASON_{name}")
        field, value = metadata.get("field", ""), metadata.get("value", "")
        return kinds[error.code()](error.details() or name, reason=reason, field=field, value=value)
    message = f"{service} failed ({error.code().name}); try again in {RETRY_AFTER_S:g} s"
    reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE
    return NotReady(message, reason=reason, retry_after_s=RETRY_AFTER_S, service=service)
