"""A client with a key."""

import pytest

from deepsing.access.interceptor import build_key_invalid, build_key_missing
from deepsing.access.outgoing import Tls
from deepsing.client import Client
from deepsing.client.errors import Refused
from deepsing.rpc.errors import ServiceError
from tests.unit.client.fake_composer import FakeComposer, serve_composer


@pytest.mark.parametrize(
    ("sent", "reason"), [(build_key_missing(), "KEY_MISSING"), (build_key_invalid(), "KEY_INVALID")]
)
async def test_a_refused_key_is_the_callers_own_mistake(sent: ServiceError, reason: str) -> None:
    async with serve_composer(FakeComposer([sent])) as target, Client(target, api_key="x") as client:
        with pytest.raises(Refused) as caught:
            async for _ in client.compose(b"song"):
                pass
    assert caught.value.reason == reason


@pytest.mark.parametrize("api_key", ["deepsing_ann_secret", lambda: "deepsing_ann_secret"])
async def test_a_key_is_not_sent_to_another_machine_in_the_clear_unless_that_is_asked_for(api_key: str) -> None:
    with pytest.raises(Refused, match="in the clear") as caught:
        async with Client("composer.test:50051", api_key=api_key):
            pass
    assert "secret" not in str(caught.value)
    async with Client("composer.test:50051", api_key=api_key, tls=True):
        pass
    async with Client("composer.test:50051", api_key=api_key, plaintext_key=True):
        pass


async def test_tls_files_that_are_not_there_are_named() -> None:
    from pathlib import Path

    with pytest.raises(Refused, match=r"gone\.pem cannot be read"):
        async with Client("127.0.0.1:1", tls=Tls(Path("gone.pem"))):
            pass
