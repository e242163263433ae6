"""A song that comes through a pipe is read once, and waiting for its writer can be cancelled."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from deepsing.client.song import CHUNK_BYTES, SongSource

SONG = bytes(range(256)) * 1000


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "song.mp3")
    return tmp_path / "song.mp3"


async def read(source: SongSource) -> bytes:
    return b"".join([chunk async for chunk in source.chunks()])


def test_all_that_is_written_comes_whoever_is_first(pipe: Path) -> None:
    async def work() -> bytes:
        source = SongSource(pipe)
        assert not source.replayable
        reading = asyncio.create_task(read(source))
        await asyncio.sleep(0.05)  # the reader is there before the writer
        await asyncio.to_thread(pipe.write_bytes, SONG)
        return await reading

    assert asyncio.run(asyncio.wait_for(work(), 10)) == SONG
    writer = threading.Thread(target=pipe.write_bytes, args=(SONG,))
    writer.start()  # waits for a reader, and must not find one that only looks
    assert asyncio.run(asyncio.wait_for(read(SongSource(pipe)), 10)) == SONG
    writer.join()


def test_waiting_for_a_writer_that_never_comes_can_be_cancelled(pipe: Path) -> None:
    async def work() -> None:
        async with asyncio.timeout(0.2):
            await read(SongSource(str(pipe)))

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(work(), 10))
    assert not [one for one in Path("/proc/self/fd").iterdir() if one.exists() and one.samefile(pipe)]


def test_a_device_that_is_always_ready_is_read_in_pieces() -> None:
    async def work() -> int:
        chunks = SongSource("/dev/zero").chunks()
        first = await anext(chunks)
        await chunks.aclose()
        return len(first)

    assert asyncio.run(work()) == CHUNK_BYTES
    assert asyncio.run(read(SongSource(os.devnull))) == b""


def test_a_folder_and_a_pipe_that_may_not_be_read_are_errors_at_once(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        SongSource(tmp_path)
    with pytest.raises(FileNotFoundError):
        SongSource(tmp_path / "gone.mp3")
