"""Expired stories are deleted: first their files, later their records."""

import time
from pathlib import Path

from services.composer.stored.expiry import sweep
from services.composer.stored.record import File, Record
from services.composer.stored.store import AsyncStore, FolderStore

OVER, LATER = time.time() - 1, time.time() + 1000


def put(store: FolderStore, story_id: str, expires_s: float, holder: str = "") -> Record:
    file = File(f"stories/all/{story_id}/1/story.mp4", 1, 3, "00")
    record = Record(story_id, "all", "SUCCEEDED", b"", "song", 1.0, expires_s, holder=holder, files=(file,))
    store.create(record.name, record.to_bytes())
    store.create(file.name, b"mp4")
    store.create(f"keys/all/{story_id}", b'{"story_id": "%s", "request": ""}' % story_id.encode())
    return record


async def test_a_story_loses_its_files_at_its_time_and_its_record_as_long_after(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    records = [put(store, "a", OVER), put(store, "b", LATER), put(store, "c", OVER, holder="somebody")]
    async_store = AsyncStore(store)
    await sweep(async_store, records, 100.0)
    expired, _ = await async_store.read_record("records/all/a")
    assert (expired.state, expired.files) == ("EXPIRED", ())
    assert OVER + 90 < expired.expires_s < LATER
    others = [
        f"{part}/b{rest}" for part, rest in (("keys/all", ""), ("records/all", ""), ("stories/all", "/1/story.mp4"))
    ]
    left = [name for name, _ in store.list("")]
    assert left == sorted([*others, *(name.replace("/b", "/c") for name in others), "records/all/a"])
    await sweep(async_store, [expired], 100.0)
    assert await async_store.read_record("records/all/a") == (expired, store.read("records/all/a").version)


async def test_an_expired_story_is_forgotten(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    async_store = AsyncStore(store)
    record = put(store, "a", OVER)
    await sweep(async_store, [record], -1.0)
    expired, _ = await async_store.read_record(record.name)
    await sweep(async_store, [expired], -1.0)
    assert list(store.list("")) == []


async def test_a_story_that_was_made_again_meanwhile_is_kept(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    async_store = AsyncStore(store)
    seen = put(store, "a", OVER)
    await async_store.replace_record(*await async_store.read_record(seen.name), expires_s=LATER)
    await sweep(async_store, [seen], 100.0)
    assert (await async_store.read_record(seen.name))[0].state == "SUCCEEDED"
    assert store.read("stories/all/a/1/story.mp4").content == b"mp4"
