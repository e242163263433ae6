"""What a live client behind a narrow line sees, and what that costs a fast one beside it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from bench.live import FPS, SIZE, iter_raw, raw_format
from bench.measurement import Measurement
from bench.watching import watch_session
from deepsing.client import Client, StoryOptions
from deepsing.local.services import NAMES, LocalServices, find_free_ports

__all__ = ["measure_throttled"]

LINE_BYTES = 48_000  # a second; a story of this size and rate has about 150,000
PIECE_BYTES = 2_048
BUFFER_BYTES = 16_384  # of the sockets of the line
ENDLESS = 1_000  # credit that never holds back a frame of so short a session


async def measure_throttled(quick: bool) -> list[Measurement]:
    """Two sessions at a time, one of them on a line of LINE_BYTES a second: with credit of its own, and without end."""
    seconds = 10.0 if quick else 30.0
    options = StoryOptions(fps=FPS, size=SIZE, audio_format=raw_format())
    whatever_comes = StoryOptions(fps=FPS, size=SIZE, audio_format=raw_format(), live=True)
    found: list[Measurement] = []
    async with LocalServices(find_free_ports(dict.fromkeys(NAMES, 0))) as services:
        target = services.targets["composer"]
        async with (
            narrow_line(target) as line,
            Client(target) as fast,
            Client(line) as slow,
            Client(line, credit_window=ENDLESS) as endless,
        ):
            await watch_session(partial(fast.live, options=options), iter_raw(2.0))
            for name, open_session in (
                ("credit as it takes frames", partial(slow.live, options=options)),
                ("credit without end", partial(endless.compose, options=whatever_comes)),
            ):
                sessions = (
                    watch_session(open_session, iter_raw(seconds)),
                    watch_session(partial(fast.live, options=options), iter_raw(seconds)),
                )
                behind_the_line, beside_it = await asyncio.gather(*sessions)
                found += behind_the_line.measurements(f"throttled, {name}")
                found += beside_it.measurements("fast client beside it", dropped_aim="0")
    return found


@asynccontextmanager
async def narrow_line(target: str) -> AsyncIterator[str]:
    """Yields the address of a line to `target` that lets LINE_BYTES a second through towards the client."""
    host, port = target.rsplit(":", 1)
    lines: set[asyncio.Task[None]] = set()

    async def line(up: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        connection = socket.create_connection((host, int(port)))
        for one in (connection, down.get_extra_info("socket")):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        reader, writer = await asyncio.open_connection(sock=connection, limit=PIECE_BYTES)
        for task in (_forward_bytes(reader, down, LINE_BYTES), _forward_bytes(up, writer, 1e9)):
            lines.add(asyncio.create_task(task))

    server = await asyncio.start_server(line, "127.0.0.1", 0, limit=PIECE_BYTES)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in lines:
            task.cancel()
        await asyncio.gather(*lines, return_exceptions=True)


async def _forward_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_per_s: float) -> None:
    """Passes bytes on, no faster than that and without holding many."""
    writer.transport.set_write_buffer_limits(0)
    try:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(len(piece) / bytes_per_s)
    finally:
        writer.close()
