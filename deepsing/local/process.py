"""One service as a child process: starts it, waits until it is ready, stops it, and says how it ended."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import grpc

from deepsing.access.outgoing import ChannelSettings, open_channel
from deepsing.local.failures import CommandError, missing_extra
from deepsing.local.source import python_command, python_environment, service_root

__all__ = ["ServiceProcess", "SERVICE_HINT", "wait_until_serving"]

SERVICE_HINT = "give --target HOST:PORT of a running one, or work in a clone of the repository (see its README)"
LAST_BYTES = 2**16  # of a log that are searched; a line with a traceback is long
MESSAGE_CHARACTERS = 300  # of a last line that are shown
# Threads of NumPy's products. Those of a song are small: a second thread spins more than it helps (4.4 s of processor
# time against 12.8 for a song of 75 s on a busy machine), and sums would depend on the number of processors.
BLAS_THREADS = "OPENBLAS_NUM_THREADS"
RETRY_S = 0.1  # between questions whether a service is ready


class ServiceProcess:
    """A running service; `start` makes one.

    Args:
        name: of the service, for example "composer".
        log: file that takes what it prints.
        process: the process.
        log_begin: where its own lines begin in the log, bytes.

    Attributes:
        name: as given.
        pid: process id.
        ended: is done when the process has ended; wait for it with `asyncio.wait`, which does not cancel it.
    """

    def __init__(self, name: str, log: Path, process: asyncio.subprocess.Process, log_begin: int = 0) -> None:
        self.name = name
        self.pid = process.pid
        self.ended = asyncio.create_task(process.wait())
        self._log, self._log_begin = log, log_begin
        self._process = process

    @classmethod
    async def start(cls, name: str, log: Path, settings: Mapping[str, str | None]) -> Self:
        """Starts `services.<name>`.

        Args:
            name: of the service.
            log: file that takes what it prints, after what is there already.
            settings: environment variables; None removes one.

        Raises:
            CommandError: the service is not installed here.
        """
        root = service_root(f"services.{name}.__main__", SERVICE_HINT)
        with log.open("ab") as output:
            begin = output.tell()
            process = await asyncio.create_subprocess_exec(
                *python_command("-m", "deepsing.local.child", str(os.getpid()), f"services.{name}"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=python_environment(root, **{BLAS_THREADS: os.environ.get(BLAS_THREADS, "1"), **settings}),
                start_new_session=True,  # Ctrl-C reaches the command only, which stops the services in order
            )
        return cls(name, log, process, begin)

    async def stop(self, grace_s: float) -> None:
        """Asks the process to finish, and kills it if that takes longer than `grace_s` or the wait is cancelled."""
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait([self.ended], timeout=grace_s)
        finally:
            self.kill()
        await asyncio.wait([self.ended])

    def kill(self) -> None:
        """Ends the process at once."""
        self._signal(signal.SIGKILL)

    def exit_message(self) -> str:
        """Says how the process ended, with the last warning or error of its log."""
        code = self.ended.result()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        if code == -signal.SIGKILL:
            how += ", by hand or by a system short of memory"
        words = self._read_last_message()
        return f"{self.name} {how}" + (f"; its last message: {words}" if words else "; its log has no warning or error")

    def _signal(self, number: signal.Signals) -> None:
        if not self.ended.done():
            try:
                self._process.send_signal(number)
            except ProcessLookupError:  # it has just ended
                return

    def _read_last_message(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._log_begin)
            if (begin := self._log.stat().st_size - LAST_BYTES) > self._log_begin:
                log.seek(begin - 1)
                log.readline()  # the end of a line that begins earlier
            lines = log.read().decode(errors="replace").splitlines()
        return next(filter(None, map(_parse_message, reversed(lines))), "")[:MESSAGE_CHARACTERS]


def _parse_message(line: str) -> str:
    """The message of a log line, as far as it is printable; empty below the level of a warning."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    if isinstance(entry, dict):
        line = "" if entry.get("level") in ("DEBUG", "INFO") else str(entry.get("message", line))
    return re.sub(r"[^\x20-\x7e\u00a0-\U0010ffff]", " ", line).strip()


async def wait_until_serving(target: str, limit_s: float, settings: ChannelSettings | None = None) -> None:
    """Waits until a service's health is SERVING.

    Args:
        target: its "host:port"; it need not listen yet.
        limit_s: how long to wait.
        settings: whether and how to use TLS; None is plaintext.

    Raises:
        CommandError: it is not ready after `limit_s`, or the health protocol is not installed here.
    """
    try:
        from grpc_health.v1 import health_pb2, health_pb2_grpc  # of the extra "serve", which a bare client lacks
    except ModuleNotFoundError:
        raise missing_extra("services need packages that are not installed here", "serve", "story") from None
    request, serving = health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse.SERVING
    try:
        async with (
            open_channel(target, tls=None if settings is None else settings.to_tls()) as channel,
            asyncio.timeout(limit_s),
        ):
            await _watch(health_pb2_grpc.HealthStub(channel), request, serving)
    except TimeoutError:
        message = f"{target} is not ready after {limit_s:.0f} s; its log (--logs DIR keeps it) may say why"
        raise CommandError(message) from None


async def _watch(stub: Any, request: object, serving: int) -> None:
    while True:
        try:
            async for answer in stub.Watch(request, wait_for_ready=True):
                if answer.status == serving:
                    return
        except grpc.aio.AioRpcError:  # a port may listen before its server can answer
            pass
        await asyncio.sleep(RETRY_S)
