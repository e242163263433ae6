"""TLS and mTLS with certificates of an authority made for the tests."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deepsing.access.outgoing import Tls, open_channel
from deepsing.access.server_security import security_from_environment
from deepsing.rpc import channel as plain
from deepsing.runtime.settings import ServerSettings, SettingsError
from tests.unit.access.authority import Authority
from tests.unit.access.conftest import SOON_S, Serve, add_key
from tests.unit.runtime.echo import call


async def hello(channel: grpc.aio.Channel) -> bytes:
    async with channel:
        return await call(channel, "unary_unary", b"hello", timeout=SOON_S)


async def expect_unavailable(channel: grpc.aio.Channel) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await hello(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_tls_with_a_key(serve: Serve, authority: Authority, stranger: Authority, keys_file: Path) -> None:
    certificate, private = authority.issue("server")
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file, SERVER_TLS_CERTIFICATE=certificate, SERVER_TLS_KEY=private)
    assert await hello(open_channel(server.address, key=key, tls=Tls(authority.ca))) == b"hello"
    await expect_unavailable(open_channel(server.address, key=key, tls=Tls(stranger.ca)))
    await expect_unavailable(open_channel(server.address, key=key, tls=Tls()))  # the public CAs do not know it
    await expect_unavailable(plain.open_channel(server.address))


async def test_mtls_asks_for_a_certificate_of_the_right_ca(
    serve: Serve, authority: Authority, stranger: Authority
) -> None:
    certificate, private = authority.issue("server")
    server = await serve(SERVER_TLS_CERTIFICATE=certificate, SERVER_TLS_KEY=private, SERVER_TLS_CLIENT_CA=authority.ca)
    assert await hello(open_channel(server.address, tls=Tls(authority.ca, *authority.issue("caller")))) == b"hello"
    await expect_unavailable(open_channel(server.address, tls=Tls(authority.ca)))
    await expect_unavailable(open_channel(server.address, tls=Tls(authority.ca, *stranger.issue("caller"))))


async def test_a_new_certificate_counts_for_the_next_connection_and_a_broken_one_does_not(
    serve: Serve, authority: Authority, stranger: Authority
) -> None:
    certificate, private = authority.issue("turning")
    server = await serve(SERVER_TLS_CERTIFICATE=certificate, SERVER_TLS_KEY=private)
    assert await hello(open_channel(server.address, tls=Tls(authority.ca))) == b"hello"
    new_certificate, new_private = stranger.issue("turning")
    certificate.write_bytes(new_certificate.read_bytes())  # no pair with the old key
    assert await hello(open_channel(server.address, tls=Tls(authority.ca))) == b"hello"
    private.write_bytes(new_private.read_bytes())
    assert await hello(open_channel(server.address, tls=Tls(stranger.ca))) == b"hello"
    await expect_unavailable(open_channel(server.address, tls=Tls(authority.ca)))


async def test_probes_without_tls_have_a_port_for_health_alone(serve: Serve, authority: Authority) -> None:
    certificate, private = authority.issue("server")
    server = await serve(
        ServerSettings(port=0, health_port=0), SERVER_TLS_CERTIFICATE=certificate, SERVER_TLS_KEY=private
    )
    async with plain.open_channel(f"127.0.0.1:{server.health_port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary", b"hello")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        draining = asyncio.create_task(server.drain(1))
        assert (await asyncio.wait_for(watch.read(), SOON_S)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await asyncio.wait_for(draining, SOON_S)


def slips(authority: Authority, stranger: Authority, tmp_path: Path) -> dict[str, tuple[dict[str, Any], str]]:
    certificate, private = authority.issue("slip")
    keys, broken = tmp_path / "k.json", tmp_path / "broken.json"
    keys.write_text('{"keys": []}')
    broken.write_text("deepsing_ann_secret")
    return {
        "no key": ({"SERVER_TLS_CERTIFICATE": certificate}, "must both be set"),
        "only a client's CA": ({"SERVER_TLS_CLIENT_CA": authority.ca}, "must both be set"),
        "no pair": (
            {"SERVER_TLS_CERTIFICATE": certificate, "SERVER_TLS_KEY": stranger.issue("slip")[1]},
            "cannot be used",
        ),
        "no CA": (
            {"SERVER_TLS_CERTIFICATE": certificate, "SERVER_TLS_KEY": private, "SERVER_TLS_CLIENT_CA": private},
            "cannot be used",
        ),
        "a misspelt variable": (
            {"ACCESS_KEY_FILE": keys},
            "there is no such setting; leave it out, or set DEEPSING_ACCESS_KEYS_FILE",
        ),
        "quotas for nobody": ({"ACCESS_STREAMS": 3}, "set in part"),
        "an empty path": ({"ACCESS_KEYS_FILE": "", "ACCESS_STREAMS": 3}, "is ''; set it to a path, or leave it out"),
        "a missing file": ({"ACCESS_KEYS_FILE": tmp_path / "nothing.json"}, "cannot be used"),
        "no JSON": ({"ACCESS_KEYS_FILE": broken}, "cannot be used"),
        "no issuer": ({"ACCESS_JWKS_FILE": keys, "ACCESS_TOKEN_AUDIENCE": "a"}, "DEEPSING_ACCESS_TOKEN_ISSUER is not"),
        "no audience": ({"ACCESS_JWKS_FILE": keys, "ACCESS_TOKEN_ISSUER": "i"}, "DEEPSING_ACCESS_TOKEN_AUDIENCE is"),
    }


async def test_what_is_set_by_half_stops_the_start(authority: Authority, stranger: Authority, tmp_path: Path) -> None:
    for name, (variables, said) in slips(authority, stranger, tmp_path).items():
        environ = {f"DEEPSING_{variable}": str(value) for variable, value in variables.items()}
        with pytest.raises(SettingsError, match=said) as caught:
            security_from_environment("echo", environ)
        assert "secret" not in str(caught.value), name


def test_keys_in_the_clear_are_warned_of(keys_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"DEEPSING_ACCESS_KEYS_FILE": str(keys_file)}
    security_from_environment("echo", environ)
    assert not caplog.records
    security_from_environment("echo", environ | {"DEEPSING_SERVER_HOST": "0.0.0.0"})
    assert "cross the network in the clear" in caplog.text
