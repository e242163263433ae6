"""The port of metrics: requests that never end hold nothing, and keep nobody out."""

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deepsing.telemetry import page_server
from deepsing.telemetry.page_server import PageServer

REQUEST = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n"


def answer(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['PATH_INFO']} {environ['QUERY_STRING']} {environ['HTTP_ACCEPT']}".encode()]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PageServer]:
    monkeypatch.setattr(page_server, "HEAD_S", 0.3)
    monkeypatch.setattr(page_server, "CONNECTIONS", 5)
    running = PageServer("127.0.0.1", 0, answer)
    yield running
    running.close()


def connect(server: PageServer, sent: bytes) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    one.sendall(sent)
    return one


def read_all(one: socket.socket) -> bytes:
    received = b""
    while piece := one.recv(4096):
        received += piece
    one.close()
    return received


def is_closed_unanswered(one: socket.socket) -> bool:
    """Waits for the other end to close; by chance it reads that, or a reset if not all that it sent was read."""
    with one:
        try:
            return one.recv(4096) == b""
        except ConnectionResetError:
            return True


def test_a_request_is_answered_and_its_connection_closed(server: PageServer) -> None:
    head, _, body = read_all(connect(server, REQUEST)).partition(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "HTTP/1.1 200 OK",
        "Content-Type: text/plain",
        "Content-Length: 17",
        "Connection: close",
    ]
    assert body == b"/a b=c text/plain"
    assert read_all(connect(server, REQUEST.replace(b"GET", b"HEAD"))).endswith(b"close\r\n\r\n")


@pytest.mark.parametrize("sent", [b"", REQUEST[:-2], b"GET\r\n\r\n", b"x" * 20_000], ids=lambda sent: repr(sent[:9]))
def test_what_is_no_whole_request_is_closed_without_an_answer(server: PageServer, sent: bytes) -> None:
    assert is_closed_unanswered(connect(server, sent))
    assert read_all(connect(server, REQUEST)).startswith(b"HTTP/1.1 200 OK")


def test_a_request_that_comes_byte_by_byte_has_no_more_time(server: PageServer) -> None:
    one, began = connect(server, b""), time.monotonic()
    with pytest.raises(OSError):  # noqa: PT011, PT012 - reset or broken pipe, by chance
        while time.monotonic() < began + 10:
            one.sendall(b"x")
            time.sleep(0.05)
    assert time.monotonic() - began < 5
    one.close()


def test_among_too_many_half_sent_requests_a_whole_one_is_answered(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_server, "HEAD_S", 60)
    held = [connect(server, REQUEST[:20]) for _ in range(20)]
    assert read_all(connect(server, REQUEST)).startswith(b"HTTP/1.1 200 OK")
    assert len(server._open) <= 5
    assert is_closed_unanswered(held[0]), "the oldest gave way"
    for one in held:
        one.close()


async def test_closing_does_not_wait_for_those_who_wait(server: PageServer) -> None:
    one = connect(server, REQUEST[:20])
    async with asyncio.timeout(5):
        await asyncio.to_thread(server.close)
    one.close()
