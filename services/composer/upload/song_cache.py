"""Keeps songs for a while after their session, so that a caller who resumes a story need not send them again."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deepsing.rpc.errors import ServiceError

__all__ = ["SongCache"]


@dataclass(frozen=True)
class _CachedSong:
    path: Path
    bytes: int
    expires_s: float


class SongCache:
    """A bounded LRU cache of songs on disk.

    A caller finds only songs that it sent itself, so that no caller learns what others have sent.

    Args:
        folder: for the songs; sessions make their folders in it, because songs are added by hard link.
        limit_bytes: total size of all songs.
        limit_count: number of songs; 0 keeps none.
        hold_s: how long a song is kept after it was last added or found.
        clock: monotonic, seconds.
        on_resize: called with the total size before it changes; a ServiceError says that there is no room.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        limit_count: int,
        hold_s: float,
        clock: Callable[[], float] = time.monotonic,
        on_resize: Callable[[int], None] = lambda total_bytes: None,
    ) -> None:
        self._limit_bytes, self._limit_count, self._hold_s, self._clock = limit_bytes, limit_count, hold_s, clock
        self.folder, self._on_resize = folder, on_resize
        self._songs: OrderedDict[tuple[str, str], _CachedSong] = OrderedDict()  # by owner, digest; last used last
        self._kept = 0

    @property
    def total_bytes(self) -> int:
        """Size of all songs together."""
        return sum(song.bytes for song in self._songs.values())

    def add(self, owner: str, digest: str, song: Path) -> None:
        """Adds a song by a hard link to its file; does nothing if it is cached already, too large, or cannot be linked.

        Args:
            owner: account that sent it; empty without authentication.
            digest: SHA-256 of the file, lower-case hex.
            song: its file.
        """
        size = song.stat().st_size
        if self.find(owner, digest) is not None or size > self._limit_bytes or not self._limit_count:
            return
        while self._songs and (self._is_full() or self.total_bytes + size > self._limit_bytes):
            self._drop(next(iter(self._songs)))
        path = self.folder / f"held-{self._kept + 1}"
        try:
            self._on_resize(self.total_bytes + size)
            path.hardlink_to(song)
        except (ServiceError, OSError):  # the story goes on without; a caller who resumes it sends the song again
            self._on_resize(self.total_bytes)
            return
        self._kept += 1
        self._songs[owner, digest] = _CachedSong(path, size, self._clock() + self._hold_s)

    def find(self, owner: str, digest: str) -> Path | None:
        """The song's file, or None if it is not cached. Use it before the next await, which may delete it."""
        now = self._clock()
        for key in [key for key, song in self._songs.items() if song.expires_s <= now]:
            self._drop(key)
        song = self._songs.pop((owner, digest), None)
        if song is None:
            return None
        self._songs[owner, digest] = _CachedSong(song.path, song.bytes, now + self._hold_s)
        return song.path

    def make_room(self, missing_bytes: int) -> None:
        """Drops the songs unused for longest until so many bytes are free, or none is left."""
        wanted = self.total_bytes - missing_bytes
        while self._songs and self.total_bytes > max(0, wanted):
            self._drop(next(iter(self._songs)))

    def _is_full(self) -> bool:
        return len(self._songs) >= self._limit_count

    def _drop(self, key: tuple[str, str]) -> None:
        self._songs.pop(key).path.unlink(missing_ok=True)
        self._on_resize(self.total_bytes)
