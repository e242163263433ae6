"""Upkeep: what has expired is deleted, by the store's clock; a queue that is new is filled."""

import time
from pathlib import Path

import pytest

from services.composer.stored.folder import FolderStore
from services.composer.stored.local_queue import LocalQueue
from services.composer.stored.record import File, Record
from services.composer.stored.store import AsyncStore, NotFound
from services.composer.stored.upkeep import delete_expired, fill_queue
from tests.unit.composer.stored.queue_rules import take_all

WEEK_S = 604_800.0


class AgedStore(FolderStore):
    """A folder some of whose objects are old, by its own clock."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ages_s: dict[str, float] = {}

    def age_s(self, name: str) -> float:
        return super().age_s(name) + self.ages_s.get(name, 0.0)


class KeptStories:
    """A store with stories and a queue that is due to look at them."""

    def __init__(self, folder: Path) -> None:
        self.folder_store = AgedStore(folder)
        self.store = AsyncStore(self.folder_store)
        self.queue = LocalQueue(folder / ".queue.sqlite")

    async def put(self, story_id: str, state: str = "SUCCEEDED", age_s: float = 0.0) -> Record:
        file = File(f"stories/all/{story_id}/1/story.mp4", 1, 3, "00")
        record = Record(story_id, "all", state, b"", f"stories/all/{story_id}/song", 1.0, 2.0, files=(file,))
        self.folder_store.create(record.name, record.to_bytes())
        self.folder_store.create(file.name, b"mp4")
        self.folder_store.create(f"keys/all/{story_id}", b'{"story_id": "%s", "request": ""}' % story_id.encode())
        for name in (record.name, f"keys/all/{story_id}"):
            self.folder_store.ages_s[name] = age_s
            await self.queue.end(name, 0)
        return record

    async def look(self) -> list[str]:
        """Names of all objects after a round of upkeep."""
        await delete_expired(self.store, self.queue, WEEK_S)
        return list(self.folder_store.list(""))


@pytest.fixture
def stories(tmp_path: Path) -> KeptStories:
    return KeptStories(tmp_path)


async def test_a_story_loses_its_files_at_its_time_and_its_record_and_key_as_long_after(stories: KeptStories) -> None:
    old, young = await stories.put("a", age_s=WEEK_S + 1), await stories.put("b", age_s=WEEK_S - 60)
    young_names = ["keys/all/b", "records/all/b", "stories/all/b/1/story.mp4"]
    assert await stories.look() == sorted([*young_names, "keys/all/a", "records/all/a"])
    expired, _ = await stories.store.read_record(old.name)
    assert (expired.state, expired.files) == ("EXPIRED", ())
    await stories.queue.end(old.name, 0)
    stories.folder_store.ages_s[old.name] = 60.0
    assert old.name in await stories.look(), "it has been expired for a minute"
    stories.folder_store.ages_s[old.name] = WEEK_S + 1
    await stories.queue.end(old.name, 0)
    await stories.look()
    await stories.queue.end("keys/all/a", 0)
    assert await stories.look() == young_names
    assert (await stories.store.read_record(young.name))[0] == young


async def test_this_machines_clock_deletes_nothing(stories: KeptStories, monkeypatch: pytest.MonkeyPatch) -> None:
    await stories.put("a")
    monkeypatch.setattr(time, "time", lambda: 1e10)
    assert len(await stories.look()) == 3


async def test_a_story_that_is_made_again_is_kept_and_queued(stories: KeptStories) -> None:
    again = await stories.put("a", "QUEUED", age_s=WEEK_S + 1)
    assert len(await stories.look()) == 3
    assert await take_all(stories.queue) == [again.name]


async def test_a_record_that_cannot_be_read_goes_with_its_files_at_its_time(stories: KeptStories) -> None:
    record = await stories.put("a")
    stories.folder_store.put(record.name, Path(__file__))
    assert len(await stories.look()) == 3
    stories.folder_store.ages_s[record.name] = stories.folder_store.ages_s["keys/all/a"] = WEEK_S + 1
    for name in (record.name, "keys/all/a"):
        await stories.queue.end(name, 0)
    await stories.look()
    await stories.queue.end("keys/all/a", 0)
    assert await stories.look() == []


async def test_upkeep_reads_only_what_is_due(stories: KeptStories, monkeypatch: pytest.MonkeyPatch) -> None:
    await stories.put("a")
    await stories.look()
    monkeypatch.setattr(FolderStore, "list", None)
    monkeypatch.setattr(FolderStore, "read", None)
    assert await delete_expired(stories.store, stories.queue, WEEK_S) == 0


async def test_a_new_queue_is_filled_from_the_records(stories: KeptStories) -> None:
    for story_id, state in (("a", "QUEUED"), ("b", "RUNNING"), ("c", "SUCCEEDED"), ("d", "CANCELLED")):
        await stories.put(story_id, state)
        await stories.queue.remove(f"records/all/{story_id}")
    await stories.queue.end("keys/all/a", 1000.0)
    stories.folder_store.create("records/all/e", b"{")
    await fill_queue(stories.store, stories.queue)
    assert await stories.queue.is_filled()
    assert sorted(await take_all(stories.queue)) == ["records/all/a", "records/all/b"]
    due = await stories.queue.take_due(99)
    assert sorted(due) == [*(f"keys/all/{one}" for one in "abcd"), *(f"records/all/{one}" for one in "cde")]


async def test_what_is_gone_is_forgotten(stories: KeptStories) -> None:
    await stories.queue.end("records/all/nothing", 0)
    await delete_expired(stories.store, stories.queue, WEEK_S)
    await stories.queue.end("records/all/other", 0)
    assert await stories.queue.take_due(9) == ["records/all/other"]
    with pytest.raises(NotFound):
        await stories.store.read_record("records/all/nothing")
