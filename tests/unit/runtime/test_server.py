import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from deepsing.rpc.channel import open_channel
from deepsing.rpc.errors import ResourceExhausted, parse_error_info
from deepsing.runtime.server import GrpcServer
from deepsing.runtime.settings import ServerSettings
from deepsing.v1 import error_reason_pb2 as reasons
from tests.unit.runtime.echo import KINDS, NAME, Echo, call, service

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SOON_S = 20.0  # for what takes milliseconds; long, because test machines are busy


async def health(channel: grpc.aio.Channel, name: str = "") -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))
    return int(answer.status)


async def test_health_is_answered_before_the_models_are_open_and_serving_only_after(echo: Echo) -> None:
    warm = asyncio.Event()
    server = GrpcServer(service(echo, lambda: warm.wait()), ServerSettings(port=0))
    await server.listen()
    async with open_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert (await watch.read()).status == NOT_SERVING
        assert not server.serving
        opening = asyncio.create_task(server.open())
        assert await health(channel) == NOT_SERVING
        warm.set()
        await opening
        assert (await watch.read()).status == SERVING
        assert (await health(channel), await health(channel, NAME)) == (SERVING, SERVING)
        assert server.serving
        await server.drain(0)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_before_the_models_are_open_is_told_to_try_again(echo: Echo, kind: str) -> None:
    server = GrpcServer(service(echo), ServerSettings(port=0))
    await server.listen()
    async with grpc.aio.insecure_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind, b"x")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert parse_error_info(caught.value)[0] == "DEPENDENCY_UNAVAILABLE"
    await server.drain(0)


async def test_what_the_opening_raises_is_raised(echo: Echo) -> None:
    async def fail() -> None:
        raise FileNotFoundError("no model")

    server = GrpcServer(service(echo, fail), ServerSettings(port=0))
    with pytest.raises(FileNotFoundError):
        await server.start()
    await server.drain(0)


async def test_a_drain_is_seen_at_once_and_waits_for_the_call_under_way(
    server: GrpcServer, channel: grpc.aio.Channel, echo: Echo
) -> None:
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    answer = asyncio.create_task(call(channel, "unary_stream", b"wait"))
    await echo.started.wait()
    draining = asyncio.create_task(server.drain(60))
    assert (await asyncio.wait_for(watch.read(), SOON_S)).status == NOT_SERVING
    assert not draining.done()
    echo.release.set()
    assert await asyncio.wait_for(answer, SOON_S) == b"firstwait"
    await asyncio.wait_for(draining, SOON_S)  # though the watcher of the health is still there
    assert echo.closed
    assert not server.serving


async def test_a_draining_server_takes_no_new_call(server: GrpcServer, channel: grpc.aio.Channel, echo: Echo) -> None:
    answer = asyncio.create_task(call(channel, "unary_stream", b"wait"))
    await echo.started.wait()
    draining = asyncio.create_task(server.drain(60))
    await asyncio.sleep(0)
    async with grpc.aio.insecure_channel(server.address, (("grpc.enable_retries", 0),)) as late:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(late, "unary_unary", b"x", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    echo.release.set()
    await answer
    await draining


async def test_after_the_grace_a_call_is_cut_off_and_its_handler_cleans_up(
    server: GrpcServer, channel: grpc.aio.Channel, echo: Echo
) -> None:
    answer = asyncio.create_task(call(channel, "unary_stream", b"wait"))
    await echo.started.wait()
    await asyncio.wait_for(server.drain(0.1), SOON_S)
    assert echo.cleaned.is_set()
    with pytest.raises(grpc.aio.AioRpcError):
        await answer


async def test_a_server_may_be_drained_twice(server: GrpcServer) -> None:
    await asyncio.wait_for(asyncio.gather(server.drain(1), server.drain(1)), SOON_S)


async def test_reflection_lists_the_service(channel: grpc.aio.Channel) -> None:
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    answers = [answer async for answer in stub.ServerReflectionInfo(iter([ask]))]
    assert {found.name for found in answers[0].list_services_response.service} == {
        NAME,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_an_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(f"/{NAME}/Nothing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_above_the_limit_is_refused_and_one_at_the_limit_is_not(
    server: GrpcServer, channel: grpc.aio.Channel
) -> None:
    limit = ServerSettings().max_message_bytes
    assert len(await call(channel, "unary_unary", bytes(limit))) == limit
    async with open_channel(server.address, max_message_bytes=2 * limit) as wide:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(wide, "unary_unary", bytes(limit + 1))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_calls_at_once_than_the_limit_are_refused(echo: Echo) -> None:
    server = GrpcServer(service(echo), ServerSettings(port=0, max_concurrent_rpcs=1))
    await server.start()
    async with open_channel(server.address) as channel:
        waiting = asyncio.create_task(call(channel, "unary_unary", b"wait"))
        await echo.started.wait()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary", b"x")
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        echo.release.set()
        assert await waiting == b"wait"
    await server.drain(0)


class OneKey(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        if ("key", "right") not in tuple(details.invocation_metadata):
            raise ResourceExhausted(
                "the key is spent; get another", reason=reasons.ERROR_REASON_QUOTA_EXCEEDED, quota="key"
            )
        return await continuation(details)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_interceptor_inside_may_refuse_a_call_by_raising(echo: Echo, kind: str) -> None:
    server = GrpcServer(service(echo), ServerSettings(port=0), interceptors=[OneKey()])
    await server.start()
    async with open_channel(server.address) as channel:
        assert (await call(channel, kind, b"x", metadata=(("key", "right"),))).endswith(b"x")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, kind, b"x")
    assert parse_error_info(caught.value) == ("QUOTA_EXCEEDED", {})
    await server.drain(0)


async def test_a_call_that_is_long_without_an_answer_is_not_broken_by_pings_that_are_allowed(echo: Echo) -> None:
    server = GrpcServer(service(echo), ServerSettings(port=0, min_ping_interval_s=0.1))
    await server.start()
    options = [("grpc.keepalive_time_ms", 1000), ("grpc.http2.max_pings_without_data", 0)]
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        waiting = asyncio.create_task(call(channel, "stream_unary", b"wait"))
        await asyncio.sleep(5.5)  # five pings; a server without the setting breaks the connection at the fourth
        echo.release.set()
        assert await waiting == b"wait"
    await server.drain(0)
