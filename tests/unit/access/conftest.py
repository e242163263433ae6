import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepsing.access.keys import new_key
from deepsing.access.keys_file import edit_keys
from deepsing.access.server_security import security_from_environment
from deepsing.rpc.errors import parse_error_info
from deepsing.runtime.server import GrpcServer, Service
from deepsing.runtime.settings import ServerSettings
from tests.unit.access.authority import Authority
from tests.unit.runtime.echo import NAME, Echo, call, register

SOON_S = 20.0  # for what takes milliseconds; long, because test machines are busy
Serve = Callable[..., Coroutine[Any, Any, GrpcServer]]


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text('{"keys": []}')
    return path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "theirs")


@pytest.fixture
async def serve(echo: Echo) -> AsyncIterator[Serve]:
    """Serves the echo on a free port, protected as variables say: `await serve(ACCESS_KEYS_FILE=path)`."""
    async with AsyncExitStack() as stack:

        async def start_server(settings: ServerSettings | None = None, **variables: object) -> GrpcServer:
            environ = {f"DEEPSING_{name}": str(value) for name, value in variables.items()}

            async def open_echo() -> Echo:
                return echo

            def protect(name: str) -> Any:
                return security_from_environment(name, environ)

            service = Service(name="echo", grpc_name=NAME, register=register, open=open_echo, protect=protect)
            server = GrpcServer(service, settings or ServerSettings(port=0))
            await server.start()
            stack.push_async_callback(server.drain, 0)
            return server

        yield start_server
    logging.getLogger("deepsing.runtime.guard").setLevel(logging.NOTSET)


def add_key(path: Path, name: str, **options: Any) -> str:
    text, kept = new_key(name, **options)
    with edit_keys(path) as keys:
        keys[name] = kept
    return text


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


def bearer(text: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {text}"),)


async def expect_refusal(
    channel: grpc.aio.Channel, *metadata: tuple[str, str], kind: str = "unary_unary", request: bytes = b"hello"
) -> tuple[str, str, str]:
    """Calls; returns code, reason and message of the refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asyncio.wait_for(call(channel, kind, request, metadata=metadata), SOON_S)
    return caught.value.code().name, parse_error_info(caught.value)[0], str(caught.value.details())
