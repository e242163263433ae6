"""Messages to the caller. If the caller reads slowly, an offline story waits, and a live one drops messages."""

import asyncio
from collections import deque
from contextlib import suppress

from deepsing.v1 import composer_pb2 as pb
from services.composer.session.credit import CreditGate

__all__ = ["Outbox"]

SIZE = 8  # messages that may wait offline, besides one batch of frames
MOST_BYTES = 4 * 2**20  # of waiting frames, if there is more than one; a raw frame may have 11 MB
LIVE_SIZE = 64  # messages that may wait live, without frames, which wait in the credit gate
DROPPABLE = {"affect_point", "achieved_point", "heartbeat"}
LIVE_DRAIN_S = 2.0  # how long the last live frames may wait for credit


class Outbox:
    """Queue of one session's messages; one reader, any number of writers."""

    def __init__(self) -> None:
        self.credit_gate: CreditGate | None = None
        self.waiting: deque[pb.ComposeResponse | None] = deque()
        self._bytes = 0  # of frames in `waiting`
        self.taken_count = 0  # messages that the reader has taken
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._releasing = asyncio.Lock()

    def attach(self, credit_gate: CreditGate) -> None:
        """Sets the credit gate that frames are taken from."""
        self.credit_gate = credit_gate

    @property
    def live(self) -> bool:
        """Whether frames are dropped for newer ones."""
        return self.credit_gate is not None and self.credit_gate.backlog is not None

    def full(self) -> bool:
        """Whether put() has to wait."""
        return not self.live and (len(self.waiting) >= SIZE or self._bytes >= MOST_BYTES)

    def is_unread(self) -> bool:
        """Whether messages, or frames without credit, wait for the caller."""
        return bool(self.waiting) or (self.credit_gate is not None and bool(self.credit_gate.waiting))

    def clear(self) -> None:
        """Drops all that waits, because the session has failed."""
        self.waiting.clear()
        self._bytes = 0
        if self.credit_gate is not None:
            self.credit_gate.waiting.clear()

    def empty(self) -> bool:
        """Whether no message waits."""
        return not self.waiting

    async def put(self, response: pb.ComposeResponse) -> None:
        """Adds a message. Offline it waits for room; live, if too many wait, the oldest DROPPABLE one is removed."""
        await self._wait_for_room()
        self.put_nowait(response)
        if self.live and len(self.waiting) > LIVE_SIZE:
            oldest = next(one for one in self.waiting if one is not None and one.WhichOneof("payload") in DROPPABLE)
            self.waiting.remove(oldest)

    async def _wait_for_room(self) -> None:
        while self.full():
            self._room.clear()
            await self._room.wait()

    def put_nowait(self, response: pb.ComposeResponse | None) -> None:
        """Adds a message without waiting for room; None only wakes the reader."""
        self.waiting.append(response)
        self._bytes += _count_bytes(response)
        self._news.set()

    async def get(self) -> pb.ComposeResponse | None:
        """The next message. Live frames are taken from the credit gate only here, so that the newest ones are sent."""
        while True:
            if self.waiting:
                response = self.waiting.popleft()
                self.taken_count += 1
                self._bytes -= _count_bytes(response)
                if not self.full():
                    self._room.set()
                return response
            frame = self.credit_gate.pop_next() if self.live and self.credit_gate is not None else None
            if frame is not None:
                self.taken_count += 1
                return frame
            self._news.clear()
            await self._news.wait()

    async def release(self) -> None:
        """Offline: queues all frames that have credit, when there is room. Live: wakes the reader, which takes them."""
        assert self.credit_gate is not None
        if self.live:
            self.note_credit()
            return
        async with self._releasing:
            if self.credit_gate.waiting and not self.credit_gate.blocked:
                await self._wait_for_room()
            while (response := self.credit_gate.pop_next()) is not None:
                self.put_nowait(response)
                if self._bytes >= MOST_BYTES:
                    await self._wait_for_room()

    def note_credit(self) -> None:
        """Live: wakes the reader, which takes frames itself. Offline the delivery waits for credit and goes on."""
        if self.live:
            self._news.set()

    async def drain(self) -> None:
        """Waits up to LIVE_DRAIN_S for the last live frames to be sent; drops and reports the rest."""
        assert self.credit_gate is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(LIVE_DRAIN_S):
                await self.credit_gate.wait_until_empty()
        self.credit_gate.drop_waiting()
        while (response := self.credit_gate.pop_next()) is not None:
            await self.put(response)


def _count_bytes(response: pb.ComposeResponse | None) -> int:
    """Size of a frame's image; other messages are small, and their number is bounded."""
    is_frame = response is not None and response.WhichOneof("payload") == "frame"
    return len(response.frame.image) if is_frame and response is not None else 0
