"""Stored stories while something is wrong: the queue is away, records are damaged or later, callers act at once."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest

from deepsing.v1 import composer_pb2 as pb
from services.composer.stored.folder import FolderStore
from services.composer.stored.record import Record
from tests.unit.composer.fakes import stage
from tests.unit.composer.stored.calls import SONG, create, upload, watch
from tests.unit.composer.stored.test_stories import cut_off_queue, expect_refusal


async def test_while_the_queue_is_away_new_stories_are_refused_and_others_are_seen(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        there = (await create(on)).story.story_id
        cut_off_queue(on)
        code, reason, said = await expect_refusal(on.stub.CreateStory(upload(SONG, seed=9)))
        assert (code, reason) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
        assert said == "the queue of stories does not answer; try again in 5 s"
        assert (await create(on)).existed
        assert [one.story_id for one in (await on.stub.ListStories(pb.ListStoriesRequest())).stories] == [there]
        cancelled = await on.stub.CancelStory(pb.CancelStoryRequest(story_id=there))
        assert cancelled.story.state == pb.STORY_STATE_CANCELLED


async def test_what_ends_while_it_is_cancelled_stays_as_it_ended(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        story_id = (await create(on)).story.story_id
        async_store = on.servicer.stories.store
        assert async_store is not None
        replace = FolderStore.replace

        def end_first(self: FolderStore, name: str, content: bytes, version: str) -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(FolderStore, "replace", replace)
                record = Record.from_bytes(self.read(name).content)
                ended = record.with_changes(state="SUCCEEDED").to_bytes()
                replace(self, name, ended, self.read(name).version)
                replace(self, name, content, version)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FolderStore, "replace", end_first)
            answer = await on.stub.CancelStory(pb.CancelStoryRequest(story_id=story_id))
        assert answer.story.state == pb.STORY_STATE_SUCCEEDED
        record, _ = await async_store.read_record(f"records/all/{story_id}")
        assert record.state == "SUCCEEDED"


@pytest.mark.parametrize("content", [b"", b"not json", b'{"later": 1}'])
async def test_a_record_that_cannot_be_read_concerns_its_own_story_alone(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        bad, good = [(await create(on, seed=seed)).story.story_id for seed in (1, 2)]
    (tmp_path / "records" / "all" / bad).write_bytes(content)
    async with stage(store=str(tmp_path)) as on:
        assert (await watch(on, good))[-1].state == pb.STORY_STATE_SUCCEEDED
        assert [one.story_id for one in (await on.stub.ListStories(pb.ListStoriesRequest())).stories] == [good]
        request = pb.GetStoryRequest(story_id=bad)
        assert (await expect_refusal(on.stub.GetStory(request)))[1] == "STORY_NOT_FOUND"
        assert f"set aside: records/all/{bad} is not a story's record" in caplog.text
        again = await create(on, seed=1)
        assert (again.story.story_id, again.existed) == (bad, False)
        assert (await watch(on, bad))[-1].state == pb.STORY_STATE_SUCCEEDED


async def test_a_state_of_a_later_version_is_left_to_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        later, known = [(await create(on, seed=seed)).story.story_id for seed in (1, 2)]
    path = tmp_path / "records" / "all" / later
    path.write_bytes(path.read_bytes().replace(b'"QUEUED"', b'"PAUSED"'))
    before = path.read_bytes()
    async with stage(store=str(tmp_path)) as on:
        assert (await watch(on, known))[-1].state == pb.STORY_STATE_SUCCEEDED
        listed = (await on.stub.ListStories(pb.ListStoriesRequest())).stories
        states = {one.story_id: one.state for one in listed}
    assert states == {later: pb.STORY_STATE_UNSPECIFIED, known: pb.STORY_STATE_SUCCEEDED}
    assert path.read_bytes() == before
    assert f"records/all/{later} is PAUSED" in caplog.text


async def test_a_story_that_is_made_again_while_it_ends_is_queued(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        story_id = (await create(on)).story.story_id
        stories = on.servicer.stories
        end = stories.queue.end

        async def end_late(name: str, after_s: float) -> None:
            await create(on)  # the record is CANCELLED already, the queue does not know it yet
            await end(name, after_s)

        stories.queue.end = end_late  # type: ignore[method-assign]
        await on.stub.CancelStory(pb.CancelStoryRequest(story_id=story_id))
        stories.queue.end = end  # type: ignore[method-assign]
        ticket = await stories.queue.take(100.0)
    assert ticket is not None
    assert ticket.name == f"records/all/{story_id}"


def remove_song(folder: Path) -> None:
    next(folder.rglob("song-*")).unlink()


async def test_a_story_whose_song_is_lost_fails(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        story_id = (await create(on)).story.story_id
    remove_song(tmp_path)
    async with stage(store=str(tmp_path)) as on:
        assert (await watch(on, story_id))[-1].state == pb.STORY_STATE_FAILED
        assert not (await create(on)).existed
        assert (await watch(on, story_id))[-1].state == pb.STORY_STATE_SUCCEEDED


async def test_a_full_disk_delays_a_story_and_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("services.composer.stored.worker.StoryJob.run", fail)
    async with stage(store=str(tmp_path)) as on:
        story_id = (await create(on)).story.story_id
        call = on.stub.WatchStory(pb.WatchStoryRequest(story_id=story_id))
        async with asyncio.timeout(20):
            while (story := (await call.read()).story).attempt < 1 or story.state != pb.STORY_STATE_QUEUED:
                assert story.state in (pb.STORY_STATE_QUEUED, pb.STORY_STATE_RUNNING)
        call.cancel()
        assert not story.HasField("error")


async def test_a_full_disk_of_the_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with stage(store=str(tmp_path), stories_running=0) as on:
        with monkeypatch.context() as patch:
            patch.setattr("services.composer.stored.folder.shutil.copyfile", fail)
            code, reason, _ = await expect_refusal(on.stub.CreateStory(upload(SONG)))
        assert (code, reason) == ("RESOURCE_EXHAUSTED", "DISK_FULL")
        assert not (await create(on)).existed


async def test_callers_take_turns(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        first = [(await create(on, seed=seed)).story.story_id for seed in range(3)]
        queue = on.servicer.stories.queue
        await queue.add("records/another/story", "another", 9)
        taken = [await queue.take(100.0) for _ in range(4)]
    names = [ticket.name for ticket in taken if ticket]
    assert names.index("records/another/story") < 2
    assert [name for name in names if "another" not in name] == [f"records/all/{one}" for one in first]


async def test_a_song_without_a_record_is_tidied_up(tmp_path: Path) -> None:
    FolderStore(tmp_path).create("stories/all/0123/song-ab", b"half a creation")
    async with stage(store=str(tmp_path), stories_running=0) as on:
        await on.servicer.stories.queue.add("records/all/0123", "all", 9)
    async with stage(store=str(tmp_path)) as on:
        while await on.servicer.stories.queue.count():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
    assert list(FolderStore(tmp_path).list("")) == []
