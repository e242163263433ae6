"""A caller's key goes where it should, and nowhere else."""

import asyncio
from pathlib import Path

import grpc
import pytest

from deepsing.access.outgoing import Tls, is_local, open_channel, open_service_channel
from deepsing.rpc.workarounds import keep_status
from deepsing.runtime.settings import SettingsError
from tests.unit.access.authority import Authority
from tests.unit.access.conftest import SOON_S, Serve, add_key, rewrite
from tests.unit.runtime.echo import KINDS, NAME, call


@pytest.mark.parametrize("kind", KINDS)
async def test_a_channel_presents_its_key_with_every_kind_of_call(serve: Serve, keys_file: Path, kind: str) -> None:
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address, key=add_key(keys_file, "ann")) as channel:
        answer = await call(channel, kind, b"hello", metadata=(("x-request-id", "r-1"),), timeout=SOON_S)
        assert answer.endswith(b"hello")


async def test_a_call_with_a_key_keeps_the_status_of_a_server_that_ends_it_early(serve: Serve, keys_file: Path) -> None:
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address, key=add_key(keys_file, "ann")) as channel:
        rpc = channel.stream_unary(f"/{NAME}/stream_unary")(iter([b"refuse", *[b"more"] * 100]))
        keep_status(rpc)
        assert type(rpc._cython_call).__name__ == "_IgnoresWriteErrors"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(rpc, SOON_S)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_service_presents_the_key_of_its_file_and_a_new_one_when_it_changes(
    serve: Serve, keys_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.key"
    rewrite(own, add_key(keys_file, "old") + "\n")
    monkeypatch.setenv("DEEPSING_CHANNEL_KEY_FILE", str(own))
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_service_channel(server.address) as channel:
        assert await call(channel, "unary_unary", b"hello") == b"hello"
        rewrite(keys_file, '{"keys": []}')
        rewrite(own, add_key(keys_file, "new"))
        assert await call(channel, "unary_unary", b"hello") == b"hello"


async def test_services_speak_mtls_as_the_environment_says(
    serve: Serve, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, private = authority.issue("server")
    server = await serve(SERVER_TLS_CERTIFICATE=certificate, SERVER_TLS_KEY=private, SERVER_TLS_CLIENT_CA=authority.ca)
    own, own_key = authority.issue("composer")
    monkeypatch.setenv("DEEPSING_CHANNEL_TLS_CA", str(authority.ca))
    monkeypatch.setenv("DEEPSING_CHANNEL_TLS_CERTIFICATE", str(own))
    monkeypatch.setenv("DEEPSING_CHANNEL_TLS_KEY", str(own_key))
    async with open_service_channel(server.address) as channel:
        assert await call(channel, "unary_unary", b"hello", timeout=SOON_S) == b"hello"


HERE = ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1", "dns:///localhost:1", "ipv4:127.0.0.1:1", "unix:/a"]
HERE += ["ipv6:%5B::1%5D:1", "dns:127.0.0.1"]
ELSEWHERE = ["10.0.0.1:1", "composer:50051", "dns:///composer:1", "127.0.0.1.evil.test:1", "localhost.evil.test:1"]
ELSEWHERE += ["ipv4:127.0.0.1:1,10.0.0.1:1", "dns://8.8.8.8/localhost:1", "[2001:db8::1]:1", "xds:///localhost:1", ""]


@pytest.mark.parametrize("target", HERE)
def test_this_machine_is_known(target: str) -> None:
    assert is_local(target)


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_a_key_does_not_leave_this_machine_in_the_clear(target: str, authority: Authority) -> None:
    with pytest.raises(SettingsError, match="in the clear; use TLS"):
        open_channel(target, key="deepsing_ann_x")
    await open_channel(target, key="deepsing_ann_x", tls=Tls(authority.ca)).close()
    await open_channel(target, key="deepsing_ann_x", plaintext_key=True).close()
    await open_channel(target).close()


@pytest.mark.parametrize("key", ["", "two\nlines", "schlüssel", "with space"])
def test_what_cannot_be_a_key_is_refused_unseen(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="empty or holds") as caught:
        open_channel("127.0.0.1:1", key=key)
    assert not key or key not in str(caught.value)
    (tmp_path / "key").write_text(key)
    monkeypatch.setenv("DEEPSING_CHANNEL_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match="empty or holds"):
        open_service_channel("127.0.0.1:1")


def test_half_an_identity_is_refused(authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="go together"):
        open_channel("127.0.0.1:1", tls=Tls(authority.ca, certificate=authority.ca))
    with pytest.raises(SettingsError, match="cannot be read"):
        open_channel("127.0.0.1:1", tls=Tls(tmp_path / "nothing"))
