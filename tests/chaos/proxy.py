"""A TCP proxy that fails as networks do: connections are reset, go silent, or are slow."""

import asyncio
import random
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

__all__ = ["Proxy"]

PIECE_BYTES = 16_384
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s, so that closing sends RST


class Proxy:
    """Passes bytes between callers and the ports behind, one after another; use it as an asynchronous context.

    Args:
        ports: on loopback; those that refuse a connection are passed over.
        pause_s: before each piece of at most 16 KiB goes on, either way.
    """

    def __init__(self, ports: Sequence[int], pause_s: float = 0.0) -> None:
        self._ports, self.pause_s = list(ports), pause_s
        self._lines: dict[asyncio.Task[None], _Line] = {}
        self._unanswering = False
        self.connection_count = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for listening in self._server.sockets:  # asyncio loses what it accepts while its server closes
            loop.remove_reader(listening.fileno())
        await asyncio.sleep(0.01)  # until connections just accepted are in `_lines`
        self._server.close()
        while self._lines:  # to their end, never cancelled: a connection that is being opened would stay open
            for line in self._lines.values():
                line.flowing.set()
                line.close()
            await asyncio.wait(set(self._lines), timeout=0.05)
        await asyncio.sleep(0.01)  # until aborted connections have closed their sockets

    @property
    def target(self) -> str:
        """Its "host:port"."""
        return f"127.0.0.1:{self.port}"

    def reset(self, chance: random.Random | None = None) -> int:
        """Resets one connection, drawn by `chance`, or all; returns how many."""
        lines = self._pick_lines(chance)
        for line in lines:
            line.reset()
        return len(lines)

    def silence(self, chance: random.Random | None = None) -> int:
        """Stops passing bytes on one connection, drawn by `chance`, or on all; returns how many."""
        lines = self._pick_lines(chance)
        for line in lines:
            line.flowing.clear()
        return len(lines)

    def _pick_lines(self, chance: random.Random | None) -> list["_Line"]:
        """Of the open connections that pass bytes: one drawn by `chance`, or all."""
        lines = [line for line in self._lines.values() if line.flowing.is_set()]
        return [chance.choice(lines)] if chance and lines else lines

    def stop_answering(self) -> None:
        """Silences all open connections; new ones are accepted and never answered."""
        self._unanswering = True
        self.silence()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        line = self._lines[task] = _Line(self, reader, writer)
        self.connection_count += 1
        if self._unanswering:
            line.flowing.clear()
        try:
            await line.run(self._rotate_ports())
        except asyncio.CancelledError:  # by the end of the proxy; a task of asyncio.start_server would report it
            pass
        finally:
            del self._lines[task]
            line.close()

    def _rotate_ports(self) -> list[int]:
        self._ports.append(self._ports.pop(0))
        return list(self._ports)


class _Line:
    """One connection and its other half."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.far: asyncio.StreamWriter | None = None

    async def run(self, ports: list[int]) -> None:
        for port in ports:
            try:
                far_reader, self.far = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                continue
        if self.far is None:
            return
        ways = {
            asyncio.create_task(self._pass(self.reader, self.far)),
            asyncio.create_task(self._pass(far_reader, self.writer)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(PIECE_BYTES):
                await asyncio.sleep(self.proxy.pause_s)
                await self.flowing.wait()
                writer.write(piece)
                await writer.drain()
        except OSError:  # reset by either side
            return

    def reset(self) -> None:
        for writer in (self.writer, self.far):
            if writer is not None and not writer.transport.is_closing():
                half: socket.socket = writer.get_extra_info("socket")
                half.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    def close(self) -> None:
        for writer in (self.writer, self.far):
            if writer is not None:
                writer.transport.abort()
