"""Calls audio_sentiment, translator and generator, with retries, a circuit breaker and hedging."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deepsing.access.outgoing import open_service_channel
from deepsing.rpc.workarounds import keep_status
from deepsing.v1 import audio_sentiment_pb2, audio_sentiment_pb2_grpc, generator_pb2_grpc, translator_pb2_grpc
from services.composer.backends.hedging import Hedge
from services.composer.backends.retry import RETRY_AFTER_S, CircuitBreaker, Retry
from services.composer.settings import ComposerSettings

__all__ = ["BATCH_BYTES", "Backends", "call_deadline_s"]

Response = TypeVar("Response")
BATCH_BYTES = 24 * 2**20  # largest batch of raw pictures
LOOK_S = 2.0  # for the answer to a question after a service's health
SERVICES = ("audio_sentiment", "translator", "generator")
# The caller's deadline on the monotonic clock.
call_deadline_s: ContextVar[float] = ContextVar("call_deadline_s", default=math.inf)


class Backends:
    """Stubs of audio_sentiment, translator and generator. All their calls are pure, so that retrying them is safe."""

    def __init__(self, settings: ComposerSettings) -> None:
        self._settings = settings
        self.pace = Pace()
        self.breakers = {
            service: CircuitBreaker(service, settings.patience_s, look=partial(self._start_looking, service))
            for service in SERVICES
        }
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._hedges = {service: Hedge(service) for service in SERVICES}
        targets = (settings.audio_sentiment_target, settings.translator_target, settings.generator_target)
        self._channels = [open_service_channel(target, max_message_bytes=BATCH_BYTES + 2**20) for target in targets]
        self.audio_sentiment = audio_sentiment_pb2_grpc.AudioSentimentServiceStub(self._channels[0])
        self.translator = translator_pb2_grpc.TranslatorServiceStub(self._channels[1])
        self.generator = generator_pb2_grpc.GeneratorServiceStub(self._channels[2])

    async def close(self) -> None:
        """Closes the channels."""
        for task in self._looks.values():
            task.cancel()
        await asyncio.gather(*(channel.close() for channel in self._channels))

    def _start_looking(self, service: str) -> None:
        if service not in self._looks or self._looks[service].done():
            self._looks[service] = asyncio.create_task(self._look_until_well(service))

    async def _look_until_well(self, service: str) -> None:
        """Keeps the breaker of a service open until the service says that it is well."""
        breaker = self.breakers[service]
        while True:
            if breaker.is_open:
                await asyncio.sleep(RETRY_AFTER_S)
            if await self._is_well(service):
                breaker.record_return()
                return
            breaker.open()

    async def _is_well(self, service: str) -> bool:
        """Whether a service says that it serves; one without a health service does, if it answers."""
        stub = health_pb2_grpc.HealthStub(self._channels[SERVICES.index(service)])
        call = stub.Check(health_pb2.HealthCheckRequest(), timeout=LOOK_S)
        try:
            return bool((await call).status == health_pb2.HealthCheckResponse.SERVING)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNIMPLEMENTED
        finally:
            call.cancel()

    async def call(
        self,
        method: Callable[..., Awaitable[Response]],
        request: Any,
        service: str,
        fits: Callable[[Response], bool] = lambda answer: True,
    ) -> Response:
        """Calls a unary method until it answers, the request is refused, or `patience_s` has passed.

        Args:
            method: a stub's method.
            request: its request message.
            service: name of the service.
            fits: whether the answer comes from the right model; otherwise another replica is tried.

        Raises:
            InvalidArgument, FailedPrecondition: the service refused the request; the error has its reason.
            Unavailable: DEPENDENCY_UNAVAILABLE.
        """
        retry, hedge = Retry(self.breakers[service]), self._hedges[service]
        while True:
            retry.begin()
            try:
                answer: Response = await hedge.race(
                    lambda: method(request, timeout=min(self._settings.call_timeout_s, _remaining_s())), type(request)
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
        """Has audio_sentiment analyse a song. After a failure it sends the song again and skips points already yielded.

        Args:
            requests: called for each attempt; yields the upload from its start.
            complete: whether the whole song was uploaded; from then on, `call_timeout_s` without a response counts
                as a failure.

        Raises:
            OSError: `requests` could not read the song.
            ServiceError: as `call`.
        """
        retry, received = Retry(self.breakers["audio_sentiment"]), 0
        while True:
            retry.begin()
            remaining_s = _remaining_s()
            upload = _Upload(requests())
            timeout_s = None if remaining_s == math.inf else remaining_s
            call = upload.call = self.audio_sentiment.Analyze(upload.send(), timeout=timeout_s)
            keep_status(call)
            place = 0
            try:
                while (response := await self._read_response(call, complete)) is not None:
                    if response is grpc.aio.EOF:
                        return
                    if response.HasField("progress"):  # repeated after a failure; the consumer ignores old progress
                        yield response
                        continue
                    place += 1
                    if place > received:
                        received = place
                        retry.record_success()
                        yield response
                await retry.wait(slow=True)
            except grpc.aio.AioRpcError as error:
                await retry.wait_or_raise(error)
            except asyncio.CancelledError:
                if upload.failure is not None:
                    raise upload.failure from None
                raise
            finally:
                call.cancel()

    async def _read_response(self, call: Any, complete: Callable[[], bool]) -> Any:
        """The next response, EOF after the last, or None if the whole song was sent and no response comes."""
        response_task = asyncio.ensure_future(call.read())
        try:
            while not (await asyncio.wait({response_task}, timeout=self._settings.call_timeout_s))[0]:
                if complete():
                    return None
            return response_task.result()
        finally:
            response_task.cancel()


class _Upload:
    """The requests of one attempt; gRPC would hide why they could not be read, and wait for ever."""

    def __init__(self, requests: AsyncIterator[audio_sentiment_pb2.AnalyzeRequest]) -> None:
        self._requests = requests
        self.call: Any = None
        self.failure: OSError | None = None

    async def send(self) -> AsyncIterator[audio_sentiment_pb2.AnalyzeRequest]:
        """Yields them; if they cannot be read, it keeps the error and ends the call."""
        try:
            async for request in self._requests:
                yield request
        except OSError as error:
            self.failure = error
            self.call.cancel()


class Pace:
    """Running mean of the generator's time per frame, microseconds; recent batches count more."""

    def __init__(self) -> None:
        self.frame_us = 0.0

    def record(self, frame_us: float) -> None:
        """Adds a measurement."""
        self.frame_us = 0.9 * self.frame_us + 0.1 * frame_us if self.frame_us else frame_us


def _remaining_s() -> float:
    """Seconds until the caller's deadline; inf if it has none."""
    return max(0.0, call_deadline_s.get() - time.monotonic())
