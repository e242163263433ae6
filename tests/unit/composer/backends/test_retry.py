"""Calls to the other services: retried while that may help, and refused while the circuit breaker is open."""

import asyncio
from collections.abc import Callable

import grpc
import pytest

from deepsing.rpc.errors import (
    STATUS_DETAILS,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ServiceError,
    Unavailable,
)
from deepsing.v1.error_reason_pb2 import ErrorReason
from services.composer.backends.client import Backends
from services.composer.backends.retry import RETRY_AFTER_S, CircuitBreaker, Retry
from tests.unit.composer.fakes import config, pcm, stage, upload
from tests.unit.composer.session.test_session import compose_all, expect_refusal, only
from tests.unit.composer.upload.test_song_cache import Clock


def make_failure(code: str, reason: str = "", details: str = "gone") -> grpc.aio.AioRpcError:
    trailers = grpc.aio.Metadata()
    if reason:
        error = ServiceError(details, reason=ErrorReason.Value(f"ERROR_REASON_{reason}"))
        trailers.add(STATUS_DETAILS, error.to_status().SerializeToString())
    return grpc.aio.AioRpcError(grpc.StatusCode[code], grpc.aio.Metadata(), trailers, details)


AWAY = make_failure("UNAVAILABLE")
TOO_LARGE = "SERVER: Received message larger than max (5242892 vs. 4194304)"
NOT_ITS_FAULT = [  # of the service: it works, and has answered
    (make_failure("RESOURCE_EXHAUSTED", details=TOO_LARGE), InvalidArgument, "MESSAGE_TOO_LARGE"),
    (make_failure("INVALID_ARGUMENT", "SIZE_OUT_OF_RANGE"), InvalidArgument, "SIZE_OUT_OF_RANGE"),
    (make_failure("FAILED_PRECONDITION", "JUDGE_MISSING"), FailedPrecondition, "JUDGE_MISSING"),
    (make_failure("DEADLINE_EXCEEDED", "UPLOAD_STALLED"), DeadlineExceeded, "UPLOAD_STALLED"),
    (make_failure("RESOURCE_EXHAUSTED", "QUEUE_FULL"), Unavailable, "DEPENDENCY_UNAVAILABLE"),
    (make_failure("DEADLINE_EXCEEDED", "DEADLINE_PASSED"), Unavailable, "DEPENDENCY_UNAVAILABLE"),
]


def open_breaker(clock: Clock, look: Callable[[], None] = lambda: None) -> CircuitBreaker:
    breaker = CircuitBreaker("generator", patience_s=30, clock=clock, look=look)
    assert not breaker.should_stop_retrying(0.0)
    clock.now_s = 31
    assert breaker.should_stop_retrying(0.0)
    return breaker


def test_it_opens_if_no_call_has_succeeded_and_refuses_at_once() -> None:
    clock = Clock()
    breaker = open_breaker(clock)
    with pytest.raises(Unavailable) as caught:
        breaker.admit()
    assert caught.value.retry_after_s == RETRY_AFTER_S
    assert str(caught.value) == "generator does not answer; try again in 5 s"


def test_no_caller_tries_an_open_one_and_its_owner_lets_calls_pass_on_trial() -> None:
    clock, looks = Clock(), []
    breaker = open_breaker(clock, lambda: looks.append(clock.now_s))
    assert looks == [31]
    clock.now_s += 100 * RETRY_AFTER_S
    with pytest.raises(Unavailable):
        breaker.admit()
    breaker.record_return()
    breaker.admit()
    assert breaker.should_stop_retrying(clock.now_s), "who tries is not kept waiting"
    with pytest.raises(Unavailable):
        breaker.admit()
    assert looks == [31, clock.now_s]
    breaker.record_return()
    breaker.record_success()
    breaker.admit()
    assert not breaker.should_stop_retrying(clock.now_s)


def test_a_call_that_is_only_slow_opens_nothing_but_has_its_owner_look() -> None:
    clock, looks = Clock(), []
    breaker = CircuitBreaker("generator", patience_s=30, clock=clock, look=lambda: looks.append(clock.now_s))
    clock.now_s = 31
    assert breaker.should_stop_retrying(0.0, slow=True)
    assert looks == [31]
    breaker.admit()
    breaker.open()
    with pytest.raises(Unavailable):
        breaker.admit()


def test_one_call_that_fails_for_long_does_not_shut_out_those_that_are_answered() -> None:
    clock = Clock()
    breaker = CircuitBreaker("generator", patience_s=30, clock=clock)
    clock.now_s = 29
    breaker.record_success()
    clock.now_s = 31
    assert breaker.should_stop_retrying(0.0)
    breaker.admit()


async def test_after_an_answer_patience_starts_anew() -> None:
    clock = Clock()
    retry = Retry(CircuitBreaker("generator", patience_s=30, clock=clock))
    clock.now_s = 29
    retry.record_success()
    clock.now_s = 58
    await retry.wait_or_raise(AWAY)
    clock.now_s = 60
    with pytest.raises(Unavailable):
        await retry.wait_or_raise(AWAY)


@pytest.mark.parametrize(("error", "kind", "reason"), NOT_ITS_FAULT)
async def test_what_a_service_that_works_refuses_says_nothing_of_its_health(
    error: grpc.aio.AioRpcError, kind: type[ServiceError], reason: str
) -> None:
    clock = Clock()
    breaker = CircuitBreaker("generator", patience_s=30, clock=clock)
    retry = Retry(breaker)
    clock.now_s = 31  # the call has failed for all that time, and no other was answered
    with pytest.raises(kind) as caught:
        await retry.wait_or_raise(error)
    assert caught.value.reason_name == reason
    breaker.admit()
    clock.now_s = 70
    with pytest.raises(Unavailable, match="generator does not answer"):
        await retry.wait_or_raise(AWAY)
    with pytest.raises(Unavailable):
        breaker.admit()


async def test_a_service_that_is_slow_but_well_is_not_shut_off() -> None:
    async with stage() as composer:
        backends = composer.servicer.backends
        breaker = backends.breakers["generator"]
        assert breaker.should_stop_retrying(-1e6, slow=True)
        await backends._looks["generator"]
        breaker.admit()


async def test_a_service_that_is_slow_and_not_well_is_shut_off_until_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.composer.backends.client.RETRY_AFTER_S", 0.01)
    well = asyncio.Queue[bool]()

    async def is_well(_: Backends, __: str) -> bool:
        return await well.get()

    async with stage() as composer:
        monkeypatch.setattr(Backends, "_is_well", is_well)
        backends = composer.servicer.backends
        breaker = backends.breakers["generator"]
        assert breaker.should_stop_retrying(-1e6, slow=True)
        for _ in range(2):
            well.put_nowait(False)
            while not well.empty():  # noqa: ASYNC110 - until it was asked
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert breaker.is_open
        well.put_nowait(True)
        await backends._looks["generator"]
        breaker.admit()


async def test_while_a_service_is_unavailable_the_second_caller_is_refused_at_once() -> None:
    async with stage(patience_s=0.4) as composer:
        composer.generator.failures = 10**6
        assert (await expect_refusal(composer.stub.Compose(upload(config(), pcm(2.0)))))[1] == "DEPENDENCY_UNAVAILABLE"
        calls = len(composer.generator.calls)
        composer.servicer.backends.breakers["generator"].should_stop_retrying(-1.0)
        code, reason, text = await expect_refusal(composer.stub.Compose(upload(config(), pcm(2.0))))
        assert len(composer.generator.calls) == calls
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert text == "generator does not answer; try again in 5 s"


async def test_once_the_service_is_back_the_next_trial_story_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.composer.backends.client.RETRY_AFTER_S", 0.1)
    async with stage(patience_s=0.2) as composer:
        for breaker in composer.servicer.backends.breakers.values():
            assert breaker.should_stop_retrying(-1e6), "nobody has had an answer yet"
        await asyncio.wait(composer.servicer.backends._looks.values())  # until the breakers let calls pass on trial
        assert len(only(await compose_all(composer.stub, config(), pcm(2.0)), "frame")) == 48


async def test_the_callers_deadline_is_that_of_the_calls_behind() -> None:
    async with stage() as composer:
        frames = [
            one async for one in composer.stub.Compose(upload(config(), pcm(2.0)), timeout=8) if one.HasField("frame")
        ]
        assert len(frames) == 48
        assert all(remaining_s is not None and remaining_s <= 8.5 for remaining_s in composer.generator.remaining_s)
        await compose_all(composer.stub, config(seed=2), pcm(2.0))
        assert composer.generator.remaining_s[-1] == pytest.approx(20, abs=2), "without one, the setting's"


async def test_a_cancelled_story_leaves_the_generator_within_a_second() -> None:
    async with stage() as composer:
        composer.generator.release = asyncio.Event()
        call = composer.stub.Compose(upload(config(), pcm(2.0)))
        await composer.generator.called.wait()
        call.cancel()
        async with asyncio.timeout(1):
            await composer.generator.cancelled.wait()


@pytest.mark.parametrize("code", ["CANCELLED", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED"])
async def test_calls_that_a_stopped_server_or_a_proxy_broke_off_are_made_again(code: str) -> None:
    async with stage() as composer:
        whole = only(await compose_all(composer.stub, config(), pcm(2.0)), "frame")
        composer.generator.failures, composer.generator.failure = 2, grpc.StatusCode[code]
        assert only(await compose_all(composer.stub, config(), pcm(2.0)), "frame") == whole
        assert composer.generator.failures == 0


async def test_replicas_with_other_models_are_passed_over() -> None:
    async with stage() as composer:
        whole = only(await compose_all(composer.stub, config(), pcm(2.0)), "frame")
        composer.audio.mismatch_count, composer.generator.mismatch_count = 1, 2
        assert only(await compose_all(composer.stub, config(), pcm(2.0)), "frame") == whole
        assert (composer.audio.mismatch_count, composer.generator.mismatch_count) == (0, 0)


async def test_if_all_replicas_have_other_models_the_story_fails() -> None:
    async with stage(patience_s=0.3) as composer:
        composer.generator.mismatch_count = 10**6
        code, reason, _ = await expect_refusal(composer.stub.Compose(upload(config(), pcm(2.0))))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        composer.generator.mismatch_count = 0
        assert len(only(await compose_all(composer.stub, config(), pcm(2.0)), "frame")) == 48, "nobody else is shut out"


async def test_an_analysis_without_a_response_is_retried_once_the_whole_song_was_sent() -> None:
    async with stage(call_timeout_s=0.2) as composer:
        composer.audio.unanswered_count = 1
        assert len(only(await compose_all(composer.stub, config(), pcm(2.0)), "frame")) == 48
        assert len(composer.audio.configs) == 2
