"""Who a caller is: the whole name, nobody without one, and no longer than its key is trusted."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepsing.access import interceptor
from deepsing.access.accounts import caller_account
from deepsing.access.keys_file import edit_keys
from deepsing.access.outgoing import watch_key_file
from deepsing.rpc.channel import open_channel
from deepsing.rpc.errors import parse_error_info
from deepsing.runtime.server import GrpcServer
from tests.unit.access.authority import AUDIENCE, ISSUER, public_jwk, token, write_jwks
from tests.unit.access.conftest import SOON_S, Serve, add_key, bearer, expect_refusal
from tests.unit.runtime.echo import NAME, Echo, call

INVALID = ("UNAUTHENTICATED", "KEY_INVALID")
TOKENS = {"ACCESS_TOKEN_ISSUER": ISSUER, "ACCESS_TOKEN_AUDIENCE": AUDIENCE}


class WhoAmI(Echo):
    """Answers with the name and the label of its caller."""

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        account = caller_account.get()
        assert account is not None
        return f"{account.name}|{account.label}".encode()


class TestNames:
    @pytest.fixture
    def echo(self) -> Echo:
        return WhoAmI()

    @pytest.fixture
    async def server(self, serve: Serve, keys_file: Path, tmp_path: Path) -> GrpcServer:
        jwks = write_jwks(tmp_path / "jwks.json")
        return await serve(ACCESS_KEYS_FILE=keys_file, ACCESS_JWKS_FILE=jwks, **TOKENS)

    @pytest.fixture
    async def channel(self, server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
        async with open_channel(server.address) as channel:
            yield channel

    async def ask(self, channel: grpc.aio.Channel, credential: str) -> list[str]:
        return (await call(channel, "unary_unary", b"", metadata=bearer(credential))).decode().split("|")

    async def test_subjects_are_compared_whole_and_shown_short_but_apart(self, channel: grpc.aio.Channel) -> None:
        common = "https://login.example.org/" + "t" * 200
        names, labels = zip(*[await self.ask(channel, token(sub=common + end)) for end in ("-a", "-b")], strict=True)
        assert names == (f"token {common}-a", f"token {common}-b")
        assert labels[0] != labels[1]
        assert {len(label) for label in labels} == {128}
        assert await self.ask(channel, token(sub="ann")) == ["token ann", "token ann"]

    @pytest.mark.parametrize(
        "subject", ["", " ", "\t", "\u00a0", "\u200b", "\u2800\u200b", "a\nb", "a\x00", "a\u202eb"]
    )
    async def test_a_subject_that_cannot_be_seen_names_nobody(self, channel: grpc.aio.Channel, subject: str) -> None:
        assert (await expect_refusal(channel, *bearer(token(sub=subject))))[:2] == INVALID

    async def test_a_new_key_of_an_old_name_is_a_new_caller(self, channel: grpc.aio.Channel, keys_file: Path) -> None:
        old = await self.ask(channel, add_key(keys_file, "ann"))
        new = await self.ask(channel, add_key(keys_file, "ann"))
        assert old[0] != new[0]
        assert old[1] == new[1] == "key ann"


def revoke(keys_file: Path) -> None:
    with edit_keys(keys_file) as keys:
        keys.clear()


async def upload_for_ever() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0.02)


async def stay_silent() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream", "unary_unary", "unary_stream"])
@pytest.mark.parametrize("upload", [upload_for_ever, stay_silent])
async def test_a_call_ends_soon_after_its_key_is_revoked(
    serve: Serve, keys_file: Path, monkeypatch: pytest.MonkeyPatch, kind: str, upload: Any, echo: Echo
) -> None:
    monkeypatch.setattr(interceptor, "RECHECK_S", 0.05)
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    async with open_channel(server.address) as channel:
        method = getattr(channel, kind)(f"/{NAME}/{kind}")
        rpc = method(upload() if kind.startswith("stream") else b"wait", metadata=bearer(key))
        ending = asyncio.ensure_future(read_to_end(rpc) if kind.endswith("stream") else rpc)
        await asyncio.wait({ending}, timeout=0.3)
        assert not ending.done()
        revoke(keys_file)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(SOON_S):
                await ending
        assert (caught.value.code().name, parse_error_info(caught.value)[0]) == INVALID
        rpc.cancel()


async def read_to_end(rpc: Any) -> None:
    async for _ in rpc:
        pass


async def test_a_call_ends_once_the_issuer_takes_its_key_back(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interceptor, "RECHECK_S", 0.05)
    jwks = write_jwks(tmp_path / "jwks.json")
    server = await serve(ACCESS_JWKS_FILE=jwks, **TOKENS)
    async with open_channel(server.address) as channel:
        rpc = channel.stream_unary(f"/{NAME}/stream_unary")(stay_silent(), metadata=bearer(token("ES256")))
        await asyncio.sleep(0.2)
        assert not rpc.done()
        write_jwks(jwks, public_jwk("RS256"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(SOON_S):
                await rpc
        assert parse_error_info(caught.value)[0] == "KEY_INVALID"


LOOSE = [(0o666, 0o700), (0o620, 0o700), (0o602, 0o700), (0o600, 0o777)]


@pytest.mark.parametrize(("mode", "folder_mode"), LOOSE)
async def test_a_file_of_keys_that_others_can_change_is_named_in_a_warning(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, folder_mode: int
) -> None:
    keys = tmp_path / "access" / "keys.json"
    keys.parent.mkdir(mode=0o700)
    keys.write_text('{"keys": []}')
    keys.chmod(mode)
    keys.parent.chmod(folder_mode)
    await serve(ACCESS_KEYS_FILE=keys)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert str(keys) in warnings[0]
    assert "run: chmod" in warnings[0]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
async def test_a_file_of_keys_that_only_its_owner_can_change_is_not_warned_of(
    serve: Serve, keys_file: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    os.chmod(keys_file, mode)
    await serve(ACCESS_KEYS_FILE=keys_file)
    assert [record for record in caplog.records if record.levelno == logging.WARNING] == []


async def test_a_file_that_is_opened_to_all_later_is_warned_of_then(
    serve: Serve, keys_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = add_key(keys_file, "ann")
    server = await serve(ACCESS_KEYS_FILE=keys_file)
    os.chmod(keys_file, 0o666)
    async with open_channel(server.address) as channel:
        await call(channel, "unary_unary", b"x", metadata=bearer(key))
    assert f"{keys_file} has mode 666: others may change it" in caplog.text


def test_a_key_to_present_that_everybody_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    path.write_text("deepsing_x_y")
    path.chmod(0o644)
    assert watch_key_file(path)() == "deepsing_x_y"
    assert f"{path} has mode 644: everybody may read the secret in it" in caplog.text
    assert os.stat(path).st_mode & 0o777 == 0o644, "it is only a warning"
