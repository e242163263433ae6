"""Every service's bento builds without a network, and what was built serves gRPC and HTTP by itself."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deepsing.rpc.channel import open_channel

pytest.importorskip("bentoml", reason="the extra bento is not installed")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
BUILD_S, START_S, SOON_S = 180.0, 90.0, 30.0
NOWHERE = "http://127.0.0.1:9"
GRPC_NAMES = {
    "audio_sentiment": "deepsing.v1.AudioSentimentService",
    "translator": "deepsing.v1.TranslatorService",
    "generator": "deepsing.v1.GeneratorService",
    "composer": "deepsing.v1.ComposerService",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def build_bento(service: str, home: Path) -> Path:
    """Builds a bento as its first line says, with every way to the network blocked; returns its folder."""
    blocked = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), NOWHERE)
    command = [sys.executable, "-m", "bentoml", "build", "-f", f"services/{service}/bentofile.yaml", "."]
    environ = os.environ | blocked | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "1", "PIP_NO_INDEX": "1"}
    answer = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    (folder,) = (path.parent for path in home.glob("bentos/*/*/bento.yaml"))
    return folder


def ready(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=SOON_S) as answer:
        return int(answer.status)


@pytest.mark.parametrize("service", GRPC_NAMES)
async def test_a_bento_builds_offline_and_serves_grpc_and_http(service: str, tmp_path: Path) -> None:
    folder = await asyncio.to_thread(build_bento, service, tmp_path / "home")
    moved = shutil.move(folder, tmp_path / "elsewhere")  # it must not lean on where it was built
    grpc_port, http_port = free_port(), free_port()
    environ = {"DEEPSING_SERVER_PORT": str(grpc_port), "BENTOML_HOME": str(tmp_path / "other-home")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bentoml", "serve", ".", "--port", str(http_port)),
        cwd=moved,
        env=os.environ | environ | {"BENTOML_DO_NOT_TRACK": "1"},
    )
    try:
        async with open_channel(f"127.0.0.1:{grpc_port}") as channel:
            stub, request = (
                health_pb2_grpc.HealthStub(channel),
                health_pb2.HealthCheckRequest(service=GRPC_NAMES[service]),
            )
            async with asyncio.timeout(START_S):
                async for answer in stub.Watch(request, wait_for_ready=True):
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        break
            assert await asyncio.to_thread(ready, http_port) == 200
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), SOON_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
