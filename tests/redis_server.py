"""A real server of Redis or Valkey for tests, on a free port of loopback."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepsing.local.services import find_free_ports

__all__ = ["RedisServer", "start_redis"]

START_LIMIT_S = 20.0


class RedisServer:
    """A server that keeps what it was told on the disk; it can be killed and started again.

    Args:
        program: of the server.
        folder: for its files.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._folder, self._program = folder, program
        self._port = find_free_ports({"redis": 0})["redis"]
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        words = [self._program, "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        words += ["--appendonly", "yes", "--save", ""]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        give_up_at = time.monotonic() + START_LIMIT_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self._port), 1) as line:
                    line.sendall(b"PING\r\n")
                    if line.recv(100).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            assert self.process.poll() is None, "the server has ended"
            assert time.monotonic() < give_up_at
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def start_redis(folder: Path) -> Iterator[RedisServer]:
    """Starts a server and ends it; skips where there is none, or no client."""
    pytest.importorskip("redis", reason="needs the extra queue")
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server or valkey-server, e.g. apt-get install redis-server")
    server = RedisServer(program, folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
