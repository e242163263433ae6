import asyncio
import os
import re
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deepsing.rpc.channel import open_channel
from tests.unit.runtime.echo import NAME, call

pytest.importorskip("bentoml", reason="the extra bento is not installed")
START_S = 60.0
SOON_S = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def http(port: int, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=SOON_S) as answer:
        return answer.status, answer.read().decode()


async def test_one_bentoml_serve_gives_grpc_and_http_and_sigterm_drains_the_stream_under_way(tmp_path: Path) -> None:
    grpc_port, http_port = free_port(), free_port()
    environ = {"DEEPSING_SERVER_PORT": str(grpc_port), "BENTOML_HOME": str(tmp_path), "BENTOML_DO_NOT_TRACK": "1"}
    command = (sys.executable, "-m", "bentoml", "serve", "tests.e2e.echo_bento:EchoBento", "--port", str(http_port))
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | environ)
    try:
        async with open_channel(f"127.0.0.1:{grpc_port}") as channel:
            assert await call(channel, "unary_unary", b"x", wait_for_ready=True, timeout=START_S) == b"x"
            assert (await asyncio.to_thread(http, http_port, "readyz"))[0] == 200
            metrics = (await asyncio.to_thread(http, http_port, "metrics"))[1]
            assert "bentoml_service" in metrics
            assert 'deepsing_serving{service="echo"} 1.0' in metrics
            assert re.search(r'^grpc_server_handled_total\{grpc_code="OK",.*\} 1\.0$', metrics, re.MULTILINE)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            rpc = channel.stream_stream(f"/{NAME}/stream_stream")()
            await rpc.write(b"before")
            assert await rpc.read() == b"before"
            process.send_signal(signal.SIGTERM)
            changed = await asyncio.wait_for(watch.read(), SOON_S)
            assert changed.status == health_pb2.HealthCheckResponse.NOT_SERVING
            await rpc.write(b"after")
            assert await rpc.read() == b"after"
            await rpc.done_writing()
            assert (await rpc.code()).name == "OK"
        assert await asyncio.wait_for(process.wait(), SOON_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
