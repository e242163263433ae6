"""Disk and memory that all calls share are bounded in bytes, and decoding ends with its caller."""

import asyncio
import threading
from pathlib import Path

import pytest

from deepsing.access.accounts import Account, Quotas, caller_account
from deepsing.rpc.errors import ResourceExhausted
from deepsing.runtime.byte_budget import ByteBudget
from deepsing.runtime.fair_threads import Pause
from services.composer.settings import ComposerSettings
from services.composer.upload.resources import Resources

SOON_S = 20.0
MIB = 2**20


@pytest.fixture
def resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resources:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Resources(ComposerSettings(spool_bytes=4 * MIB, frames_bytes=4 * MIB))


def test_songs_on_their_way_share_the_disk_and_give_it_back(resources: Resources) -> None:
    with resources.open_song() as first, resources.open_song() as second:
        for _ in range(32):
            first.append(bytes(65_536))
            second.append(bytes(65_536))
        with pytest.raises(
            ResourceExhausted, match=r"4 MiB of 4 MiB are in use for songs and files.*SPOOL_BYTES"
        ) as caught:
            second.append(bytes(65_536))
        assert (caught.value.reason_name, caught.value.retry_after_s) == ("DISK_FULL", 30.0)
        assert second.path.stat().st_size == second.length == 2 * MIB
    assert resources.disk.used == 0
    assert list(resources.scratch.path.iterdir()) == []


def test_held_songs_make_room_for_songs_that_come(resources: Resources) -> None:
    with resources.open_song() as song:
        for _ in range(48):
            song.append(bytes(65_536))
        resources.song_cache.add("me", "digest", song.path)  # has no room yet: the song itself takes 3 of 4 MiB
        assert resources.song_cache.total_bytes == 0
    held = resources.scratch.path / "song"
    held.write_bytes(bytes(3 * MIB))
    resources.song_cache.add("me", "digest", held)
    assert resources.disk.used == resources.song_cache.total_bytes == 3 * MIB
    with resources.open_song() as song:
        for _ in range(32):
            song.append(bytes(65_536))
        assert resources.song_cache.find("me", "digest") is None
        assert resources.disk.used == 2 * MIB


async def test_a_named_caller_has_half_and_leaves_the_rest_to_others(resources: Resources) -> None:
    caller_account.set(Account("key mallory"))
    with resources.open_song() as song:
        for _ in range(32):
            song.append(bytes(65_536))
        with pytest.raises(ResourceExhausted, match=r"your calls would use 2.062 MiB of 4 MiB"):
            song.append(bytes(65_536))
        caller_account.set(Account("key alice"))
        with resources.open_song() as other:
            other.append(bytes(65_536))


def test_a_share_that_cannot_grow_stays_as_it_was() -> None:
    budget = ByteBudget(100, lambda fault: ResourceExhausted(fault, reason=0))
    with budget.open_share("a") as share:
        share.resize(50)
        with pytest.raises(ResourceExhausted):
            share.resize(51)
        assert (share.size, budget.free) == (50, 50)
        share.resize(10)
        assert budget.free == 90
    assert budget.free == 100


async def test_more_songs_than_can_be_decoded_are_to_come_again(resources: Resources) -> None:
    gate = threading.Event()
    tasks = [asyncio.create_task(resources.decode(lambda pause: gate.wait(SOON_S))) for _ in range(64)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted, match=r"64 such calls wait.*try again in 5 s") as caught:
        await resources.decode(lambda pause: None)
    assert (caught.value.reason_name, caught.value.retry_after_s) == ("QUEUE_FULL", 5.0)
    gate.set()
    assert await asyncio.gather(*tasks) == [True] * 64


async def test_decoding_ends_with_its_caller_and_is_charged_to_it(resources: Resources) -> None:
    began, ended = threading.Event(), threading.Event()

    def decode(pause: Pause) -> None:
        began.set()
        try:
            while True:
                pause()
        finally:
            ended.set()

    account = Account("key mallory")
    account.quotas = Quotas(work_s_per_day=0.5)
    caller_account.set(account)
    task = asyncio.create_task(resources.decode(decode))
    assert await asyncio.to_thread(began.wait, SOON_S)
    task.cancel()
    assert await asyncio.to_thread(ended.wait, 1.0)
    async with asyncio.timeout(SOON_S):
        with pytest.raises(ResourceExhausted, match=r"0.5 s of work a day"):
            await resources.decode(decode)
