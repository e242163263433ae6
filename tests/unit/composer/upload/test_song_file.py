"""A song on its way: what the disk does not take is never taken for sound."""

import errno
import os
from pathlib import Path

import pytest

from services.composer.upload.song_cache import SongCache
from services.composer.upload.song_file import SongFile

CHUNK = bytes(range(256)) * 200


def write_at_most(size: int, room: int):  # type: ignore[no-untyped-def]
    """A pwrite of a disk that takes `size` bytes at once, until `room` bytes are taken."""
    real, left = os.pwrite, [room]

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        taken = min(size, left[0], len(data))
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= taken
        return real(descriptor, data[:taken], offset)

    return pwrite


def test_a_chunk_that_the_disk_takes_in_parts_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song_file = SongFile(tmp_path / "song", 2**20)
    monkeypatch.setattr(os, "pwrite", write_at_most(1000, 10**9))
    song_file.append(CHUNK)
    song_file.append(CHUNK[:7])
    assert song_file.path.read_bytes() == CHUNK + CHUNK[:7]
    song_file.close()


async def test_a_song_that_the_disk_has_no_room_for_is_cut_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song_file = SongFile(tmp_path / "song", 2**20)
    monkeypatch.setattr(os, "pwrite", write_at_most(1000, len(CHUNK) + 100))
    song_file.append(CHUNK)
    with pytest.raises(OSError, match="No space left"):
        song_file.append(CHUNK)
    assert (song_file.is_cut, song_file.length) == (True, len(CHUNK))
    await song_file.wait_until_complete()
    assert b"".join([chunk async for chunk in song_file.iter_chunks()]) == CHUNK
    song_file.close()


async def test_a_song_that_lost_bytes_on_the_disk_is_an_error_and_no_endless_reading(tmp_path: Path) -> None:
    song_file = SongFile(tmp_path / "song", 2**20)
    song_file.append(CHUNK)
    song_file.finish()
    os.truncate(song_file.path, 10)
    with pytest.raises(OSError, match="shorter on the disk") as caught:
        [chunk async for chunk in song_file.iter_chunks()]
    assert caught.value.errno == errno.EIO
    song_file.close()


def test_a_song_that_cannot_be_linked_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    song = tmp_path / "song"
    song.write_bytes(CHUNK)
    cache = SongCache(tmp_path, 2**20, 10, 60.0)
    with monkeypatch.context() as disk:
        disk.setattr(Path, "hardlink_to", full)
        cache.add("me", "digest", song)
    assert (cache.find("me", "digest"), cache.total_bytes) == (None, 0)
    cache.add("me", "digest", song)
    assert cache.total_bytes == len(CHUNK)
