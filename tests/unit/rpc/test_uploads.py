"""The clock of uploads: bytes move it on, messages do not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deepsing.rpc.errors import DeadlineExceeded
from deepsing.rpc.uploads import LEAST_BYTES_PER_S, UploadClock

STALL_S = 0.2
ENOUGH = int(LEAST_BYTES_PER_S * STALL_S) + 1  # bytes, in that time


async def upload(size: int, count: int, pause_s: float) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(pause_s)
        yield bytes(size)


async def receive_all(clock: UploadClock, chunks: AsyncIterator[bytes]) -> int:
    received = 0
    while (chunk := await clock.receive(chunks)) is not None:
        clock.count(len(chunk))
        received += len(chunk)
    return received


async def test_an_upload_that_brings_enough_may_take_longer_than_the_limit_of_a_stall() -> None:
    assert await receive_all(UploadClock(STALL_S), upload(ENOUGH, 5, STALL_S / 2)) == 5 * ENOUGH


@pytest.mark.parametrize("size", [0, 1])
async def test_chunks_that_bring_next_to_nothing_are_a_stall(size: int) -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineExceeded, match="send it faster, or half-close") as caught:
        await receive_all(UploadClock(STALL_S), upload(size, 1000, STALL_S / 10))
    assert caught.value.reason_name == "UPLOAD_STALLED"
    assert STALL_S * 0.9 < asyncio.get_running_loop().time() - began < 10 * STALL_S


async def test_chunks_that_come_without_a_pause_are_timed_too() -> None:
    async def flood() -> AsyncIterator[bytes]:
        while True:
            yield b""

    with pytest.raises(DeadlineExceeded, match=r"no audio came for 0\.2 s; send it faster, or end_of_audio"):
        await receive_all(UploadClock(STALL_S, "end_of_audio"), flood())


async def test_an_upload_ends_after_its_whole_time_whatever_comes() -> None:
    clock = UploadClock(STALL_S, total_s=0.5)
    with pytest.raises(DeadlineExceeded, match=r"the upload has taken more than 0.5 s"):
        await receive_all(clock, upload(ENOUGH, 1000, STALL_S / 4))
