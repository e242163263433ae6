"""Unusual behaviour of callers, intended or not, and its required result."""

import asyncio
import ctypes
import gc
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from deepsing.client import Client, StoryOptions
from deepsing.rpc.workarounds import keep_status
from deepsing.v1 import composer_pb2 as pb
from tests.encoding import encode, tone
from tests.unit.composer.fakes import Stage, config, pcm, stage

PYTHON_BLOCK_BYTES = 64  # about the mean of Python's own blocks, of at most 512; malloc knows nothing of them


class Allocated(ctypes.Structure):
    """struct mallinfo2 of <malloc.h>, of glibc 2.33 and later: ten sizes in bytes."""

    _fields_ = (("sizes", ctypes.c_size_t * 10),)

    @property
    def in_use(self) -> int:
        """hblkhd, in mappings of their own, and uordblks, in arenas."""
        return int(self.sizes[4] + self.sizes[7])


async def requests(
    *sent: pb.ComposeRequest, hold_open: asyncio.Event | None = None
) -> AsyncIterator[pb.ComposeRequest]:
    for request in sent:
        yield request
    if hold_open is not None:
        await hold_open.wait()


def bytes_in_use() -> int:
    """Allocated bytes after garbage collection; unlike resident memory, without fragmentation."""
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Allocated
    return int(mallinfo2().in_use) + PYTHON_BLOCK_BYTES * sys.getallocatedblocks()


async def wait_until_idle(composer: Stage) -> None:
    async with asyncio.timeout(10):
        await composer.servicer.idle.wait()


async def open_and_drop(composer: Stage, count: int, at_once: int = 20) -> None:
    hold_open = asyncio.Event()
    for _ in range(count // at_once):
        sent = (pb.ComposeRequest(config=config()), pb.ComposeRequest(audio_chunk=pcm(0.6)))
        calls = [composer.stub.Compose(requests(*sent, hold_open=hold_open)) for _ in range(at_once)]
        started = await asyncio.gather(*(call.read() for call in calls))
        assert all(response.HasField("session_started") for response in started)
        for call in calls:
            call.cancel()
        await wait_until_idle(composer)


async def test_a_thousand_sessions_opened_and_dropped_leave_nothing() -> None:
    async with stage() as composer:
        await open_and_drop(composer, 300)
        before = bytes_in_use(), len(os.listdir("/proc/self/fd"))
        await open_and_drop(composer, 700)
        grown, files = bytes_in_use() - before[0], len(os.listdir("/proc/self/fd")) - before[1]
        assert composer.servicer.sessions == 0
        assert [
            path.name
            for path in composer.servicer.resources.scratch.path.iterdir()
            if not path.name.startswith("held-")
        ] == []
    assert grown < 2 << 20  # 3 kB a session; grpc.aio itself loses 80 bytes of each cancelled operation, on both sides
    assert files <= 4


async def test_a_deadline_in_the_middle_stops_the_generator_and_frees_the_session() -> None:
    async with stage() as composer:
        composer.generator.release = asyncio.Event()
        sent = (pb.ComposeRequest(config=config()), pb.ComposeRequest(audio_chunk=pcm(3)))
        call = composer.stub.Compose(requests(*sent, pb.ComposeRequest(end_of_audio=pb.EndOfAudio())), timeout=1.0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [response async for response in call]
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(5):
            await composer.generator.cancelled.wait()
        await wait_until_idle(composer)


@pytest.mark.parametrize(("megabytes", "code"), [(5, "INVALID_ARGUMENT"), (30, "RESOURCE_EXHAUSTED")])
async def test_a_message_of_megabytes_is_refused_and_frees_the_session(megabytes: int, code: str) -> None:
    async with stage() as composer:
        sent = (pb.ComposeRequest(config=config()), pb.ComposeRequest(audio_chunk=bytes(megabytes * 2**20)))
        call = composer.stub.Compose(requests(*sent))
        keep_status(call)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [response async for response in call]
        assert caught.value.code().name == code
        await wait_until_idle(composer)


async def test_an_upload_that_is_half_closed_without_a_word_is_the_whole_song() -> None:
    async with stage() as composer:
        sent = (pb.ComposeRequest(config=config()), pb.ComposeRequest(audio_chunk=pcm(2)))
        *responses, last = [response async for response in composer.stub.Compose(requests(*sent))]
        assert last.session_end.frame_count == 48
        assert sum(response.HasField("frame") for response in responses) == 48


async def test_two_songs_of_one_name_at_once_have_each_their_own_story(tmp_path: Path) -> None:
    async with stage() as composer:
        port = composer.target
        songs = [encode(tone(seconds), 44_100, "mp3", "libmp3lame") for seconds in (1.0, 2.0)]
        paths = [tmp_path / str(number) / "song.mp3" for number in (1, 2)]
        for path, song in zip(paths, songs, strict=True):
            path.parent.mkdir()
            path.write_bytes(song)
        async with Client(port) as client:
            plain = StoryOptions(fps=6, size=(64, 64))
            stories = await asyncio.gather(*(client.render(path, path.with_suffix(".mp4"), plain) for path in paths))
    assert [story.end.song_digest for story in stories] == [hashlib.sha256(song).hexdigest() for song in songs]
    assert [story.end.frame_count for story in stories] == [6, 12]
    assert all(path.with_suffix(".mp4").stat().st_size > 1000 for path in paths)
