"""A small HTTP server for pages of this process, in a thread of its own, bounded in time and in connections."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

__all__ = ["Answer", "PageServer"]

HEAD_BYTES = 8192  # of a request, at most
HEAD_S, ANSWER_S = 5.0, 10.0  # for a request to come, and for its answer to be taken
CONNECTIONS = 64  # at a time; for one more, the one that has kept its request back for longest is closed
Answer = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""An application of WSGI; of its environment only the method, the path, the query and Accept… are there."""


class PageServer:
    """Serves GET and HEAD, one request a connection.

    Args:
        host: to listen on.
        port: to listen on; 0 takes a free one.
        answer: makes the pages, in the server's thread.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self._socket = socket.create_server((host, port), family=family)
        self.port: int = self._socket.getsockname()[1]
        self._answer = answer
        self._open: set[asyncio.StreamWriter] = set()
        self._waiting: dict[asyncio.StreamWriter, None] = {}  # of those, without a request so far; oldest first
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening, and ends the thread."""
        with suppress(RuntimeError):  # closed before
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, sock=self._socket, limit=HEAD_BYTES)
        async with server:
            await self._closing.wait()
        for writer in self._open:
            writer.transport.abort()  # ends its task; to cancel that would be logged as an error
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._waiting[writer] = None
        if len(self._open) > CONNECTIONS:
            self._forget(oldest := next(iter(self._waiting)))
            oldest.transport.abort()
        with suppress(TimeoutError, OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            try:
                async with asyncio.timeout(HEAD_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                self._waiting.pop(writer, None)
                writer.write(self._build_response(head.decode("latin-1").split("\r\n")))
                async with asyncio.timeout(ANSWER_S):
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
            finally:
                self._forget(writer)
                writer.transport.abort()

    def _forget(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        self._waiting.pop(writer, None)

    def _build_response(self, head: list[str]) -> bytes:
        method, target, _ = head[0].split(" ")
        path, _, query = target.partition("?")
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
        for line in head[1:]:
            name, _, value = line.partition(":")
            if name.lower().startswith("accept"):
                environ["HTTP_" + name.upper().replace("-", "_")] = value.strip()
        said: list[str] = []

        def start_response(status: str, headers: list[tuple[str, str]]) -> None:
            said.extend([status, *(f"{name}: {value}" for name, value in headers)])

        body = b"".join(self._answer(environ, start_response))
        lines = [f"HTTP/1.1 {said[0]}", *said[1:], f"Content-Length: {len(body)}", "Connection: close"]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if method == "HEAD" else body)
