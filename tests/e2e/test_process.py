import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deepsing.rpc.channel import open_channel
from tests.unit.runtime.echo import NAME

SOON_S = 20.0  # a Python process has to start on a busy machine
CAN_UNSHARE = (
    shutil.which("unshare") and not subprocess.run(["unshare", "--pid", "--fork", "true"], check=False).returncode
)


class Launcher:
    """Starts echo processes and ends them, whatever a test does."""

    def __init__(self) -> None:
        self.started: list[Process] = []

    async def __call__(self, how: str, *prefix: str, **settings: str) -> Process:
        environ = {f"DEEPSING_SERVER_{name.upper()}": value for name, value in {"port": "0", **settings}.items()}
        command = [*prefix, sys.executable, "-m", "tests.e2e.echo_process", how]
        process = await asyncio.create_subprocess_exec(*command, stderr=PIPE, env=os.environ | environ)
        self.started.append(process)
        return process


@pytest.fixture
async def launch() -> AsyncIterator[Launcher]:
    launcher = Launcher()
    yield launcher
    for process in launcher.started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def wait_for_line(process: Process, words: str) -> dict[str, Any]:
    """Reads the log up to a line whose message holds the words."""
    assert process.stderr
    while text := await asyncio.wait_for(process.stderr.readline(), SOON_S):
        if not text.startswith(b"{"):  # gRPC's C core has a format of its own
            continue
        line: dict[str, Any] = json.loads(text)
        if words in line["message"]:
            return line
    raise AssertionError(f"the log ended without {words!r}")


def find_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


async def exit_code(process: Process) -> int:
    return await asyncio.wait_for(process.wait(), SOON_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_the_stream_under_way_and_the_process_exits_0(launch: Launcher, number: int) -> None:
    process = await launch("goes")
    address = (await wait_for_line(process, "serving on"))["address"]
    async with open_channel(address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        rpc = channel.stream_stream(f"/{NAME}/stream_stream")()
        await rpc.write(b"before")
        assert await rpc.read() == b"before"
        process.send_signal(number)
        assert (await asyncio.wait_for(watch.read(), SOON_S)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await rpc.write(b"after")
        assert await rpc.read() == b"after"
        await rpc.done_writing()
        assert await rpc.read() is grpc.aio.EOF
        assert await rpc.code() is grpc.StatusCode.OK
    assert await exit_code(process) == 0


async def test_a_second_signal_quits_at_once(launch: Launcher) -> None:
    process = await launch("goes", grace_s="600")
    async with open_channel((await wait_for_line(process, "serving on"))["address"]) as channel:
        rpc = channel.unary_stream(f"/{NAME}/unary_stream")(b"wait")
        assert await rpc.read() == b"first"
        process.send_signal(signal.SIGTERM)
        await wait_for_line(process, "draining")
        process.send_signal(signal.SIGTERM)
        assert await exit_code(process) == 128 + signal.SIGTERM


async def test_a_signal_while_opening_ends_the_process(launch: Launcher) -> None:
    process = await launch("lasts")
    await wait_for_line(process, "listening on")
    process.send_signal(signal.SIGTERM)
    assert await exit_code(process) == 0


@pytest.mark.skipif(not CAN_UNSHARE, reason="no right to make a PID namespace")
async def test_the_first_process_of_a_container_obeys_sigterm_too(launch: Launcher) -> None:
    process = await launch("goes", "unshare", "--pid", "--fork", "--kill-child")
    await wait_for_line(process, "serving on")
    os.kill(find_child(process.pid), signal.SIGTERM)
    assert await exit_code(process) == 0


async def test_a_failed_opening_is_one_line_in_the_log_and_exit_code_1(launch: Launcher) -> None:
    process = await launch("fails")
    line = await wait_for_line(process, "cannot open")
    assert line["message"] == "cannot open echo: the model is missing; fetch it"
    assert line["level"] == "ERROR"
    assert await exit_code(process) == 1


async def test_a_bad_setting_is_named_and_nothing_starts(launch: Launcher) -> None:
    process = await launch("goes", grace_s="soon")
    line = await wait_for_line(process, "cannot start")
    assert line["message"] == ("cannot start: DEEPSING_SERVER_GRACE_S is 'soon'; set it to a number from 0 to 86400")
    assert await exit_code(process) == 78


async def test_a_variable_that_is_no_setting_is_named_and_nothing_starts(launch: Launcher) -> None:
    process = await launch("goes", grace_seconds="1")
    line = await wait_for_line(process, "cannot start")
    assert line["message"] == (
        "cannot start: DEEPSING_SERVER_GRACE_SECONDS is '1', but there is no such setting; leave it out, or set "
        "DEEPSING_SERVER_GRACE_S"
    )
    assert await exit_code(process) == 78


async def test_a_port_in_use_is_named(launch: Launcher) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await launch("goes", port=str(port))
        line = await wait_for_line(process, "cannot listen")
        assert f"127.0.0.1:{port}" in line["message"]
        assert "DEEPSING_SERVER_PORT" in line["message"]
        assert await exit_code(process) == 1
