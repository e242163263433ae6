"""How far a caller may go, each by itself."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from deepsing.access.accounts import DAY_S, Account, Accounts, Quotas, charge
from deepsing.rpc.channel import open_channel
from deepsing.rpc.errors import STATUS_DETAILS, ResourceExhausted, parse_error_info
from tests.unit.access.conftest import SOON_S, Serve, add_key, bearer, expect_refusal
from tests.unit.runtime.echo import NAME, Echo, call

EXCEEDED = ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0 * DAY_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def account(clock: Clock, **quotas: Any) -> Account:
    made = Account("key ann", clock)
    made.quotas = Quotas(**quotas)
    return made


def test_requests_come_from_a_bucket_that_fills_by_itself(clock: Clock) -> None:
    ann = account(clock, requests_per_minute=2)
    ann.admit()
    ann.admit()
    with pytest.raises(ResourceExhausted, match="2 requests a minute") as caught:
        ann.admit()
    assert caught.value.retry_after_s == pytest.approx(30)
    clock.now_s += 29
    with pytest.raises(ResourceExhausted):
        ann.admit()
    clock.now_s += 2
    ann.admit()


def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing(clock: Clock) -> None:
    ann = account(clock, requests_per_minute=1)
    ann.admit()
    clock.now_s -= 3600
    with pytest.raises(ResourceExhausted):
        ann.admit()
    clock.now_s += 61
    ann.admit()


def test_work_is_counted_by_the_day(clock: Clock) -> None:
    ann = account(clock, work_s_per_day=10)
    clock.now_s += DAY_S - 7200
    ann.charge(9)
    ann.admit()
    with pytest.raises(ResourceExhausted, match="10 s of work a day") as caught:
        ann.charge(2)
    assert caught.value.retry_after_s == pytest.approx(7200)
    with pytest.raises(ResourceExhausted):
        ann.admit()
    clock.now_s += 7201
    ann.admit()
    ann.charge(9)


def test_without_limits_nothing_is_refused(clock: Clock) -> None:
    ann = account(clock)
    for _ in range(1000):
        ann.admit()
    ann.charge(1e9)
    charge(1e9)  # nobody is being served here


def test_accounts_of_idle_callers_are_forgotten_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepsing.access.accounts.MAX_ACCOUNTS", 2)
    accounts, quotas = Accounts(), Quotas(work_s_per_day=5)
    worked = accounts.get_or_create("a", quotas)
    worked.charge(1)
    idle = accounts.get_or_create("b", quotas)
    with accounts.get_or_create("c", quotas).count_stream():
        assert accounts.get_or_create("a", quotas) is worked
        assert accounts.get_or_create("b", quotas) is not idle


async def test_two_keys_do_not_share_their_streams_and_a_key_may_have_its_own_limit(
    serve: Serve, keys_file: Path, echo: Echo
) -> None:
    ann, bob, cid = add_key(keys_file, "ann"), add_key(keys_file, "bob"), add_key(keys_file, "cid", streams=0)
    server = await serve(ACCESS_KEYS_FILE=keys_file, ACCESS_STREAMS=1)
    async with open_channel(server.address) as channel:
        held = [await open_stream(channel, key) for key in (ann, bob, cid, cid)]
        code, reason, message = await expect_refusal(channel, *bearer(ann), kind="stream_stream")
        assert (code, reason) == EXCEEDED
        assert message == "the quota of key ann, 1 streams at once, is used up; close one"
        assert await call(channel, "unary_unary", b"hello", metadata=bearer(ann)) == b"hello"
        await held[0].done_writing()
        assert await held[0].read() is grpc.aio.EOF
        assert await call(channel, "stream_stream", b"hello", metadata=bearer(ann)) == b"hello"
        for rpc in held:
            rpc.cancel()


async def open_stream(channel: grpc.aio.Channel, key: str) -> Any:
    rpc = channel.stream_stream(f"/{NAME}/stream_stream")(metadata=bearer(key))
    await rpc.write(b"one")
    assert await asyncio.wait_for(rpc.read(), SOON_S) == b"one"
    return rpc


@pytest.mark.parametrize("kind", ["unary_stream", "stream_unary", "stream_stream"])
@pytest.mark.parametrize("vanish", ["cancel", "close the channel"])
async def test_a_stream_is_counted_until_it_ends_also_when_its_caller_vanishes(
    serve: Serve, keys_file: Path, echo: Echo, kind: str, vanish: str
) -> None:
    key = add_key(keys_file, "ann", streams=1)
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as lost, open_channel(server.address) as channel:
        going = asyncio.create_task(call(lost, kind, b"wait", metadata=bearer(key)))
        await asyncio.wait_for(echo.started.wait(), SOON_S)
        assert (await expect_refusal(channel, *bearer(key), kind=kind))[:2] == EXCEEDED
        if vanish == "cancel":
            going.cancel()
        else:
            await lost.close()
        await asyncio.wait({going})
        await asyncio.wait_for(echo.cleaned.wait(), SOON_S)
        await asyncio.wait_for(server._guard.wait_idle(), SOON_S)
        assert (await call(channel, kind, b"hello", metadata=bearer(key))).endswith(b"hello")


async def test_a_refusal_says_whose_quota_it_is_and_when_to_try_again(serve: Serve, keys_file: Path) -> None:
    key = add_key(keys_file, "ann", requests_per_minute=1)
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        assert await call(channel, "unary_unary", b"hello", metadata=bearer(key)) == b"hello"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary", b"hello", metadata=bearer(key))
    assert (caught.value.code().name, parse_error_info(caught.value)[0]) == EXCEEDED
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())[STATUS_DETAILS])
    quota, retry = error_details_pb2.QuotaFailure(), error_details_pb2.RetryInfo()
    assert [detail.Unpack(quota) or detail.Unpack(retry) for detail in status.details] == [False, True, True]
    assert quota.violations[0].subject == "key ann"
    assert 0 < retry.retry_delay.seconds <= 60


class Working(Echo):
    """Does work in a task of its own, as the composer's painter does."""

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.create_task(self._work())
            yield str(number).encode()

    async def _work(self) -> None:
        charge(4.0)


class TestWork:
    @pytest.fixture
    def echo(self) -> Echo:
        return Working()

    async def test_work_is_charged_to_the_caller_and_ends_the_stream_when_it_is_too_much(
        self, serve: Serve, keys_file: Path
    ) -> None:
        ann, bob = add_key(keys_file, "ann", work_s_per_day=10), add_key(keys_file, "bob")
        server = await serve(ACCESS_KEYS_FILE=keys_file)
        async with open_channel(server.address) as channel:
            rpc = channel.unary_stream(f"/{NAME}/unary_stream")(b"", metadata=bearer(ann))
            assert [await rpc.read(), await rpc.read()] == [b"0", b"1"]
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await rpc.read()
            assert (caught.value.code().name, parse_error_info(caught.value)[0]) == EXCEEDED
            assert (await expect_refusal(channel, *bearer(ann)))[:2] == EXCEEDED
            assert await call(channel, "unary_stream", b"", metadata=bearer(bob)) == b"012"
