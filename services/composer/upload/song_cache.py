"""Songs that stay for a while after their session, so that a caller who comes back need not send them again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SongCache"]


@dataclass(frozen=True)
class _CachedSong:
    path: Path
    bytes: int
    expires_s: float


class SongCache:
    """A bounded set of songs on disk; where it is full the one unused for longest goes.

    A song is found only by whoever sent it: nobody learns from it what others listen to.

    Args:
        folder: takes them; on the file system that sessions have theirs on.
        limit_bytes: of all of them together.
        limit_count: of songs; 0 holds none.
        hold_s: how long a song stays after it was last kept or found.
        clock: seconds.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        limit_count: int,
        hold_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_bytes, self._limit_count, self._hold_s, self._clock = limit_bytes, limit_count, hold_s, clock
        self.folder = folder
        self._songs: OrderedDict[tuple[str, str], _CachedSong] = (
            OrderedDict()
        )  # by owner and digest, the latest used last
        self._kept = 0

    @property
    def total_bytes(self) -> int:
        """Of all that are held."""
        return sum(song.bytes for song in self._songs.values())

    def add(self, owner: str, digest: str, song: Path) -> None:
        """Holds a song, by a link to its file.

        Args:
            owner: who sent it; empty where nobody is asked who they are.
            digest: SHA-256 of the file, lower-case hex.
            song: its file.
        """
        size = song.stat().st_size
        if self.find(owner, digest) is not None or size > self._limit_bytes or not self._limit_count:
            return
        while self._songs and (self._is_full() or self.total_bytes + size > self._limit_bytes):
            self._drop(next(iter(self._songs)))
        self._kept += 1
        path = self.folder / f"held-{self._kept}"
        path.hardlink_to(song)
        self._songs[owner, digest] = _CachedSong(path, size, self._clock() + self._hold_s)

    def find(self, owner: str, digest: str) -> Path | None:
        """The song's file, which stays at least for this turn of the event loop; None where it is not held."""
        now = self._clock()
        for key in [key for key, song in self._songs.items() if song.expires_s <= now]:
            self._drop(key)
        song = self._songs.pop((owner, digest), None)
        if song is None:
            return None
        self._songs[owner, digest] = _CachedSong(song.path, song.bytes, now + self._hold_s)
        return song.path

    def _is_full(self) -> bool:
        return len(self._songs) >= self._limit_count

    def _drop(self, key: tuple[str, str]) -> None:
        self._songs.pop(key).path.unlink(missing_ok=True)
