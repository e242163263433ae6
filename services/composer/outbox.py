"""What goes back to the caller, one message after another as it reads: offline the story waits for it, live never."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from deepsing.v1 import composer_pb2 as pb
from services.composer.gate import FrameGate

__all__ = ["Outbox"]

SIZE = 8  # messages that wait offline, and no others but a batch of frames; a raw frame may have 11 MB
LIVE_SIZE = 64  # small messages that wait live; frames do so in the gate
MAY_BE_MISSED = {"affect_point", "achieved_point", "heartbeat"}
LIVE_FAREWELL_S = 2.0  # for credit for the last live frames


class Outbox:
    """Messages of one session on their way to its caller; one reader, any number of writers."""

    def __init__(self) -> None:
        self.gate: FrameGate | None = None
        self.waiting: deque[pb.ComposeResponse | None] = deque()
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._releasing = asyncio.Lock()

    def attach(self, gate: FrameGate) -> None:
        """Takes frames out of a gate from now on."""
        self.gate = gate

    @property
    def live(self) -> bool:
        """Whether frames give way to newer ones."""
        return self.gate is not None and self.gate.backlog is not None

    def full(self) -> bool:
        """Whether what is put now has to wait."""
        return not self.live and len(self.waiting) >= SIZE

    def empty(self) -> bool:
        """Whether nothing waits here."""
        return not self.waiting

    async def put(self, response: pb.ComposeResponse) -> None:
        """Adds a message; offline it waits for room, live the oldest that may be missed makes room."""
        await self._has_room()
        self.put_nowait(response)
        if self.live and len(self.waiting) > LIVE_SIZE:
            oldest = next(one for one in self.waiting if one is not None and one.WhichOneof("payload") in MAY_BE_MISSED)
            self.waiting.remove(oldest)

    async def _has_room(self) -> None:
        while self.full():
            self._room.clear()
            await self._room.wait()

    def put_nowait(self, response: pb.ComposeResponse | None) -> None:
        """Adds a message in any case."""
        self.waiting.append(response)
        self._news.set()

    async def get(self) -> pb.ComposeResponse | None:
        """The next message; live frames leave the gate here, so that none grows old on the way."""
        while True:
            if self.waiting:
                response = self.waiting.popleft()
                if not self.full():
                    self._room.set()
                return response
            frame = self.gate.next() if self.live and self.gate is not None else None
            if frame is not None:
                return frame
            self._news.clear()
            await self._news.wait()

    async def release(self) -> None:
        """Lets go what the gate lets out: offline now and all at once, where there is room; live as it is read."""
        assert self.gate is not None
        if self.live:
            self._news.set()
            return
        async with self._releasing:
            if self.gate.waiting and not self.gate.blocked:
                await self._has_room()
            while (response := self.gate.next()) is not None:
                self.put_nowait(response)

    async def farewell(self) -> None:
        """Gives the last live frames some time to go; those that are left then are dropped and named."""
        assert self.gate is not None
        with suppress(TimeoutError):
            await asyncio.wait_for(self.gate.emptied(), LIVE_FAREWELL_S)
        self.gate.give_up()
        while (response := self.gate.next()) is not None:
            await self.put(response)
