"""The four services as their processes, keys and mTLS between all of them, and a story told to those who may."""

import asyncio
import json
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from deepsing.access.outgoing import Tls, open_channel
from deepsing.client import Client, StoryOptions
from deepsing.client.errors import Refused, Unavailable
from deepsing.local.services import NAMES, LocalServices, find_free_ports
from deepsing.rpc.errors import parse_error_info
from deepsing.v1.generator_pb2 import ListConceptsRequest
from deepsing.v1.generator_pb2_grpc import GeneratorServiceStub
from tests.unit.access.authority import Authority
from tests.unit.access.conftest import add_key

OPTIONS = StoryOptions(fps=2, size="64x64")
KEYS: dict[str, dict[str, Any]] = {
    "ann": {"services": ("composer",)},
    "bob": {"services": ("composer",), "work_s_per_day": 1e-6},
    "the-composer": {"services": NAMES[1:]},
}


def tone(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((8000 * np.sin(np.arange(48_000) * 0.2)).astype("<i2").tobytes())
    return path


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Keys by name; the environment is that of services that ask for them, over mTLS."""
    authority = Authority(tmp_path, "ca")
    certificate, private = authority.issue("server")
    own, own_key = authority.issue("caller")
    file = tmp_path / "keys.json"
    made = {name: add_key(file, name, **options) for name, options in KEYS.items()}
    (tmp_path / "composer.key").write_text(made["the-composer"])
    variables = {
        "ACCESS_KEYS_FILE": file,
        "SERVER_TLS_CERTIFICATE": certificate,
        "SERVER_TLS_KEY": private,
        "SERVER_TLS_CLIENT_CA": authority.ca,
        "CHANNEL_KEY_FILE": tmp_path / "composer.key",
        "CHANNEL_TLS_CA": authority.ca,
        "CHANNEL_TLS_CERTIFICATE": own,
        "CHANNEL_TLS_KEY": own_key,
    }
    for name, value in variables.items():
        monkeypatch.setenv(f"DEEPSING_{name}", str(value))
    return made


@pytest.fixture
async def services(keys: dict[str, str], tmp_path: Path) -> AsyncIterator[LocalServices]:
    async with LocalServices(find_free_ports(dict.fromkeys(NAMES, 0)), logs=tmp_path / "logs", guarded=True) as running:
        yield running


async def test_a_story_is_told_to_whoever_may_hear_it_and_to_nobody_else(
    services: LocalServices, keys: dict[str, str], tmp_path: Path
) -> None:
    song = await asyncio.to_thread(tone, tmp_path / "song.wav")
    tls = Tls(tmp_path / "ca.pem", tmp_path / "caller.crt", tmp_path / "caller.key")
    target = services.targets["composer"]

    async def frames(api_key: str | None) -> int:
        async with Client(target, api_key=api_key, tls=tls) as client:
            return sum([hasattr(event, "image") async for event in client.compose(song, OPTIONS)])

    assert await frames(keys["ann"]) == 6
    for key, reason in ((None, "KEY_MISSING"), (keys["the-composer"], "KEY_INVALID"), ("x", "KEY_INVALID")):
        with pytest.raises(Refused) as refused:
            await frames(key)
        assert refused.value.reason == reason
    with pytest.raises(Unavailable) as spent:
        await frames(keys["bob"])
    assert spent.value.reason == "QUOTA_EXCEEDED"
    assert await frames(keys["ann"]) == 6
    async with open_channel(services.targets["generator"], key=keys["ann"], tls=tls) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # a user's key opens nothing behind the composer
            await GeneratorServiceStub(channel).ListConcepts(ListConceptsRequest())
        assert parse_error_info(caught.value)[0] == "KEY_INVALID"
    logs = await asyncio.to_thread(lambda: {path.stem: path.read_text() for path in (tmp_path / "logs").iterdir()})
    told = [json.loads(line) for line in logs["composer"].splitlines()]
    callers = [line.get("caller") for line in told if "rpc" in line]
    assert callers == ["key ann", None, None, None, "key bob", "key ann"]
    assert {"key the-composer"} == {
        line["caller"] for line in map(json.loads, logs["translator"].splitlines()) if "rpc" in line
    }
    assert not [name for name, text in logs.items() for key in keys.values() if key[-20:] in text]
