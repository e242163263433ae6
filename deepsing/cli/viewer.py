"""A web page on this machine that shows frames as they arrive, as MJPEG over HTTP."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from deepsing.local.failures import USAGE, CommandError

__all__ = ["Viewer"]

HOST = "127.0.0.1"
MAX_VIEWERS = 16
HEAD_LIMIT_S = 5.0  # for a browser to send its request
PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>deepsing live</title>
<style>html,body{margin:0;height:100%;background:#000}img{width:100%;height:100%;object-fit:contain}</style>
<img src="/frames" alt="the story, live">
"""


class Viewer:
    """Serves each new frame to all open pages; a slow page skips some. Use it as an asynchronous context.

    Args:
        port: on the loopback interface; 0 takes a free one.

    Raises:
        CommandError: the port is taken.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._frame = b""
        self._news = asyncio.Event()
        self._viewers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._serve, HOST, self._port)
        except OSError:
            raise CommandError(f"port {self._port} is taken; choose another for --view, or 0", USAGE) from None
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for viewer in self._viewers:
            viewer.cancel()
        await asyncio.gather(*self._viewers, return_exceptions=True)

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self._port}/"

    def show(self, image: bytes) -> None:
        """Shows a JPEG on all open pages."""
        news, self._frame, self._news = self._news, image, asyncio.Event()
        news.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._viewers.add(task)
        try:
            with suppress(TimeoutError, ConnectionError, ValueError, asyncio.IncompleteReadError):
                async with asyncio.timeout(HEAD_LIMIT_S):
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                await self._answer(head, writer)
        except asyncio.LimitOverrunError:
            return
        finally:
            self._viewers.discard(task)
            writer.close()

    async def _answer(self, head: list[str], writer: asyncio.StreamWriter) -> None:
        method, path, *_ = [*head[0].split(" "), "", ""]
        hosts = [line.partition(":")[2].strip() for line in head[1:] if line.lower().startswith("host:")]
        if hosts != [f"{HOST}:{self._port}"] and hosts != [
            f"localhost:{self._port}"
        ]:  # a page of another site that has its name lead here (DNS rebinding)
            await _send_response(writer, "403 Forbidden", "text/plain", b"this page is for this machine only\n")
        elif method != "GET" or path not in ("/", "/frames"):
            await _send_response(writer, "404 Not Found", "text/plain", b"try /\n")
        elif path == "/":
            await _send_response(writer, "200 OK", "text/html; charset=utf-8", PAGE)
        elif len(self._viewers) > MAX_VIEWERS:
            await _send_response(writer, "503 Service Unavailable", "text/plain", b"too many viewers; close one\n")
        else:
            await self._stream(writer)

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        kind = "Content-Type: multipart/x-mixed-replace; boundary=frame\r\nCache-Control: no-store\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\n{kind}Connection: close\r\n\r\n".encode())
        while True:
            news = self._news
            if frame := self._frame:
                part = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(frame)}\r\n\r\n"
                writer.write(part.encode() + frame + b"\r\n")
                await writer.drain()
            await news.wait()


async def _send_response(writer: asyncio.StreamWriter, status: str, kind: str, body: bytes) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
