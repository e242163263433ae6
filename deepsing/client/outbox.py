"""What a session still has to send: credit overtakes audio, so that a slow upload never starves the frames."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from deepsing.v1.composer_pb2 import ComposeRequest, StoryConfig

__all__ = ["Outbox"]

WAITING_MESSAGES = 8  # audio that may wait here; more stays with its source
MAX_CREDIT = 1_000_000  # of one message


class Outbox:
    """Requests of one Compose call in the order in which they leave; iterate over it once.

    Args:
        config: first message.
    """

    def __init__(self, config: StoryConfig) -> None:
        self._waiting = deque([ComposeRequest(config=config)])
        self._credit = 0
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, request: ComposeRequest) -> None:
        """Queues a request behind those that wait; waits itself while they are many."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._waiting) < WAITING_MESSAGES)
            self._waiting.append(request)
            self._changed.notify_all()

    async def grant(self, frame_count: int) -> None:
        """Lets the composer send that many more frames."""
        async with self._changed:
            self._credit += frame_count
            self._changed.notify_all()

    async def close(self) -> None:
        """Half-closes the call; what waits is dropped."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def __aiter__(self) -> AsyncIterator[ComposeRequest]:
        yield self._waiting.popleft()
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._closed or self._credit > 0 or bool(self._waiting))
                if self._closed:
                    return
                request = self._take_next()
                self._changed.notify_all()
            yield request

    def _take_next(self) -> ComposeRequest:
        if not self._credit:
            return self._waiting.popleft()
        granted = min(self._credit, MAX_CREDIT)
        self._credit -= granted
        return ComposeRequest(credit=granted)
