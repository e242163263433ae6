"""A client and a server that do not agree about TLS: the error says what to change."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from deepsing.access.outgoing import Tls
from deepsing.client import Client
from deepsing.client.errors import Unavailable
from tests.unit.access.authority import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@asynccontextmanager
async def serve_nothing(credentials: grpc.ServerCredentials | None) -> AsyncIterator[str]:
    server = grpc.aio.server()
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


def load_credentials(authority: Authority, *, mutual: bool = False) -> grpc.ServerCredentials:
    certificate, key = (path.read_bytes() for path in authority.issue("server"))
    return grpc.ssl_server_credentials([(key, certificate)], authority.ca.read_bytes() if mutual else None, mutual)


async def read_error(target: str, tls: Tls | bool) -> str:
    async with Client(target, tls=tls, retries=0, timeout_s=20) as client:
        with pytest.raises(Unavailable) as raised:
            await client.get_story("0" * 32)
    return raised.value.message.replace(target, "HOST")


async def test_plaintext_against_a_tls_server_says_that_it_may_ask_for_tls(authority: Authority) -> None:
    async with serve_nothing(load_credentials(authority)) as target:
        message = await read_error(target, tls=False)
    assert message.startswith("HOST closes every connection (")
    assert "it may ask for TLS (--tls, --tls-ca PEM, tls=…)" in message


async def test_tls_against_a_plaintext_server_says_to_call_it_without(authority: Authority) -> None:
    async with serve_nothing(None) as target:
        message = await read_error(target, Tls(authority.ca))
    assert message.startswith("HOST does not speak TLS, and this call does (")
    assert message.endswith("; call it without TLS (no --tls, tls=False)")


async def test_a_certificate_of_an_unknown_ca_says_to_name_the_ca(authority: Authority, tmp_path: Path) -> None:
    async with serve_nothing(load_credentials(authority)) as target:
        messages = [await read_error(target, tls) for tls in (True, Tls(Authority(tmp_path, "theirs").ca))]
    for message in messages:
        assert message.startswith("the certificate of HOST is not signed by a CA that is trusted here (")
        assert message.endswith("; name its CA (--tls-ca PEM, Tls(ca=…))")


async def test_a_server_that_asks_for_a_certificate_says_so(authority: Authority) -> None:
    async with serve_nothing(load_credentials(authority, mutual=True)) as target:
        message = await read_error(target, Tls(authority.ca))
    assert "or for a client's certificate (DEEPSING_CHANNEL_TLS_CERTIFICATE, Tls(certificate=…, key=…))" in message
