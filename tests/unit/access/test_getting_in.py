"""People who have no key, or not a good one, try to get in."""

import asyncio
import json
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from deepsing.access.keys_file import edit_keys
from deepsing.rpc.channel import open_channel
from tests.unit.access.conftest import SOON_S, Serve, add_key, bearer, expect_refusal, rewrite
from tests.unit.runtime.echo import KINDS, NAME, Echo, call

MISSING = ("UNAUTHENTICATED", "KEY_MISSING")
INVALID = ("UNAUTHENTICATED", "KEY_INVALID")


@pytest.mark.parametrize("kind", KINDS)
async def test_without_a_key_nobody_gets_in_and_with_one_everything_works(
    serve: Serve, keys_file: Path, kind: str, echo: Echo
) -> None:
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        code, reason, message = await expect_refusal(channel, kind=kind)
        assert (code, reason) == MISSING
        assert "authorization: Bearer" in message
        assert not echo.started.is_set()
        assert (await call(channel, kind, b"hello", metadata=bearer(key))).endswith(b"hello")
        assert (await call(channel, kind, b"hello", metadata=(("x-api-key", key),))).endswith(b"hello")


async def test_without_keys_or_tls_everybody_is_let_in(serve: Serve) -> None:
    server = await serve()
    async with open_channel(server.address) as channel:
        assert await call(channel, "unary_unary", b"hello", metadata=bearer("anything")) == b"hello"


async def test_every_bad_key_is_refused_in_the_same_words(serve: Serve, keys_file: Path) -> None:
    good = add_key(keys_file, "ann")
    over = add_key(keys_file, "bob", expires=datetime.now(UTC) - timedelta(seconds=1))
    elsewhere = add_key(keys_file, "cid", services=("composer",))
    revoked = add_key(keys_file, "dee")
    with edit_keys(keys_file) as keys:
        del keys["dee"]
    flipped = good[:-1] + ("A" if good[-1] != "A" else "B")
    unknown = good.replace("_ann_", "_eve_")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        answers = {
            await expect_refusal(channel, *bearer(text))
            for text in (flipped, unknown, over, elsewhere, revoked, "deepsing_ann_", "x", f"{good}{good}", "a.b.c")
        }
        assert {answer[:2] for answer in answers} == {INVALID}
        assert len(answers) == 1
        assert await call(channel, "unary_unary", b"hello", metadata=bearer(good)) == b"hello"


async def test_a_key_in_the_wrong_place_is_not_looked_at_nor_logged(
    serve: Serve, keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    places = [
        ("authorization", key),
        ("authorization", f"Basic {key}"),
        ("cookie", f"key={key}"),
        ("api-key", key),
        ("key-bin", key.encode()),
        ("x-request-id", key),
    ]
    async with open_channel(server.address) as channel:
        for place in places:
            assert (await expect_refusal(channel, place))[:2] == MISSING  # type: ignore[arg-type]
    assert key[-20:] not in "".join(str(vars(record)) for record in caplog.records)


async def test_two_keys_at_once_are_refused(serve: Serve, keys_file: Path) -> None:
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        assert (await expect_refusal(channel, *bearer(key), ("x-api-key", key)))[:2] == INVALID


@pytest.mark.parametrize("path", [f"/{NAME}/unary_unary?key={{}}", "/{}/unary_unary", f"/{NAME}/{{}}"])
async def test_a_key_in_the_path_opens_nothing_and_is_not_logged(
    serve: Serve, keys_file: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(path.format(key))(b"")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert key[-20:] not in "".join(str(vars(record)) for record in caplog.records)


async def test_a_method_that_nobody_has_tells_strangers_nothing(serve: Serve, keys_file: Path) -> None:
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{NAME}/Nothing")(b"")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_health_needs_no_key_and_reflection_does(serve: Serve, keys_file: Path) -> None:
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    async with open_channel(server.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=NAME))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in reflect(iter([ask])):
                pass
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        names = [found async for found in reflect(iter([ask]), metadata=bearer(key))]
        assert NAME in str(names)


@pytest.mark.parametrize("size", [9_000, 20_000, 1_000_000])
async def test_metadata_above_8_kib_is_refused_and_the_server_lives_on(
    serve: Serve, keys_file: Path, size: int
) -> None:
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary", b"", metadata=bearer("a" * size), timeout=SOON_S)
        assert caught.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
        assert await call(channel, "unary_unary", b"hello", metadata=bearer(key)) == b"hello"
        assert (await expect_refusal(channel, *bearer("a" * 7_000)))[:2] == INVALID


async def test_a_file_that_changes_counts_at_once_and_a_broken_one_does_not(
    serve: Serve, keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ann = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        bob = add_key(keys_file, "bob")
        assert await call(channel, "unary_unary", b"hello", metadata=bearer(bob)) == b"hello"
        with edit_keys(keys_file) as keys:
            before = dict(keys)
        rewrite(keys_file, '{"keys": [{"id": "ann"}]}')
        for _ in range(3):
            assert await call(channel, "unary_unary", b"hello", metadata=bearer(ann)) == b"hello"
        assert sum("the previous content stays in force" in record.message for record in caplog.records) == 1
        os.unlink(keys_file)
        assert await call(channel, "unary_unary", b"hello", metadata=bearer(ann)) == b"hello"
        with edit_keys(keys_file) as keys:
            keys["bob"] = before["bob"]
        assert (await expect_refusal(channel, *bearer(ann)))[:2] == INVALID
        assert await call(channel, "unary_unary", b"hello", metadata=bearer(bob)) == b"hello"


async def test_a_stream_ends_when_its_key_is_revoked(
    serve: Serve, keys_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepsing.access.interceptor.RECHECK_S", 0.0)
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        rpc = channel.stream_stream(f"/{NAME}/stream_stream")(metadata=bearer(key))
        await rpc.write(b"one")
        assert await rpc.read() == b"one"
        with edit_keys(keys_file) as keys:
            keys.clear()
        await rpc.write(b"two")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(rpc.read(), SOON_S)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_every_call_has_one_line_that_says_who_and_how_much_and_no_secret(
    serve: Serve, keys_file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "level", logging.WARNING)  # whatever an operator leaves out, this stays
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        await call(channel, "stream_stream", b"hello", metadata=(*bearer(key), ("x-request-id", "r-1")))
        await expect_refusal(channel, *bearer(key[:-1] + "~"))
    await server.drain(SOON_S)  # a line is written once the status has left
    lines = [vars(record)["fields"] for record in caplog.records if record.name == "deepsing.runtime.guard"]
    assert len(lines) == 2
    assert lines[0]["caller"] == "key ann"
    assert str(lines[0]["peer"]).startswith("ipv4:127.0.0.1:")
    measured = {
        name: lines[0][name] for name in ("rpc", "code", "messages_in", "bytes_in", "messages_out", "bytes_out")
    }
    assert measured == {
        "rpc": f"/{NAME}/stream_stream",
        "code": "OK",
        "messages_in": 1,
        "bytes_in": 5,
        "messages_out": 1,
        "bytes_out": 5,
    }
    assert (lines[1]["code"], "caller" in lines[1]) == ("UNAUTHENTICATED", False)
    assert key[-20:-1] not in json.dumps([str(vars(record)) for record in caplog.records])
    assert os.fspath(keys_file) not in json.dumps(lines)
