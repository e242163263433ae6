"""The queue of stored stories: which composer tells which story, and when an ended one is looked at again.

Every record has one entry, by its name ("records/OWNER/STORY"). While the story has not ended, its entry is taken by
one composer at a time for the time of a lease, and is free again when that is over; callers take turns. Once it has
ended, its entry is a date at which somebody looks whether it has expired. All times are those of the queue's own clock.

The queue decides only who works. What is true of a story stands in its record: a queue that was lost is filled again
from the records, and one that is wrong costs work twice, never a story.
"""

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepsing.runtime.settings import SettingsError
from services.composer.settings import ComposerSettings

__all__ = ["Queue", "QueueError", "QueueFull", "Ticket", "LOOK_AGAIN_S", "open_queue"]

LOOK_AGAIN_S = 60.0  # until an ended story is due again whose composer died while it looked at it
SERVERS = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")
PLACE = "redis://HOST:PORT/0, where other machines work at it, too, or to a file of this machine"


class QueueError(Exception):
    """The queue cannot be reached or refuses; trying again later may help."""


class QueueFull(Exception):
    """A caller has as many stories that have not ended as it may have: `count`."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} stories have not ended")
        self.count = count


@dataclass(frozen=True)
class Ticket:
    """The right to tell a story until the lease is over: name of its record, and what proves the right."""

    name: str
    token: str


class Queue(ABC):
    """See above. All methods raise QueueError. An engine has to do nine commands, each as a whole and alone."""

    @abstractmethod
    async def _do(self, command: str, **values: Any) -> Any:
        """Does a command of the methods below, which say what its values are."""

    @abstractmethod
    async def close(self) -> None:
        """Ends the connection."""

    async def add(self, name: str, owner: str, most: int, pause_s: float = 0.0) -> None:
        """Adds a story to be told, after a pause. One that is there already is not added again; it waits no longer.

        Raises:
            QueueFull: the owner has `most` others that have not ended.
        """
        count = await self._do("add", name=name, owner=owner, most=most, s=pause_s)
        if count >= 0:
            raise QueueFull(count)

    async def take(self, lease_s: float) -> Ticket | None:
        """Takes the next free story: callers in turn, of one caller the oldest. None if there is none."""
        token = secrets.token_hex(8)
        name = await self._do("take", token=token, s=lease_s)
        return Ticket(name, token) if name else None

    async def renew(self, ticket: Ticket, lease_s: float) -> bool:
        """Begins the lease anew; False if another composer has the story, or if it was cancelled."""
        return bool(await self._do("hide", name=ticket.name, token=ticket.token, new=ticket.token, s=lease_s))

    async def release(self, ticket: Ticket, pause_s: float) -> None:
        """Gives a story back; it is free after a pause. Does nothing if another composer has it."""
        await self._do("hide", name=ticket.name, token=ticket.token, new="", s=pause_s)

    async def end(self, name: str, after_s: float) -> None:
        """Ends a story, whoever has it; its entry is due after so many seconds."""
        await self._do("end", name=name, s=after_s)

    async def take_due(self, most: int) -> list[str]:
        """Names of ended stories that are due, at most so many; each is due again after LOOK_AGAIN_S."""
        return list(await self._do("take_due", most=most, s=LOOK_AGAIN_S))

    async def remove(self, name: str) -> None:
        """Forgets a story."""
        await self._do("remove", name=name)

    async def count(self) -> int:
        """How many stories have not ended."""
        return int(await self._do("count"))

    async def is_filled(self) -> bool:
        """Whether set_filled() was called; False if the queue is new, or has lost its content."""
        return bool(await self._do("is_filled"))

    async def set_filled(self) -> None:
        """Notes that all records of the store have an entry."""
        await self._do("set_filled")


def open_queue(settings: ComposerSettings) -> Queue:
    """Opens the queue that the settings name; by default a file in the folder of stories. Raises SettingsError."""
    place = settings.queue
    if place.startswith(SERVERS):
        from services.composer.stored.redis_queue import RedisQueue  # its client is an extra

        return RedisQueue(place.replace("valkey", "redis", 1) if place.startswith("valkey") else place, settings.store)
    if "://" in place:
        scheme = place.partition("://")[0]
        raise SettingsError(f"DEEPSING_COMPOSER_QUEUE begins with {scheme}://; set it to {PLACE}")
    if not place and settings.store.startswith("s3://"):
        raise SettingsError(
            f"DEEPSING_COMPOSER_STORE is a bucket and DEEPSING_COMPOSER_QUEUE is empty; set it to {PLACE}"
        )
    from services.composer.stored.local_queue import LocalQueue

    return LocalQueue(Path(place).expanduser() if place else Path(settings.store).expanduser() / ".queue.sqlite")
