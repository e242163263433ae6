"""If a composer goes silent, another one finishes its story; if the first one comes back, it can change nothing."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepsing.runtime.supervision import find_failing
from deepsing.v1 import composer_pb2 as pb
from services.composer.stored import job
from services.composer.stored.attempt import Attempt, AttemptLost
from services.composer.stored.folder import FolderStore
from services.composer.stored.record import Record, Segment
from services.composer.stored.segments import StoredFrames, read_segment
from services.composer.stored.store import AsyncStore, Store, StoreError, VersionConflict
from tests.unit.composer.fakes import pcm, stage
from tests.unit.composer.stored.calls import content, create, watch
from tests.unit.composer.stored.test_stories import UnreachableStore, cut_off_queue, cut_off_store

LONG, FRAMES = pcm(12.0), 288
QUICK: dict[str, Any] = {"segment_s": 1.0, "lease_s": 1.0}


async def leave_story(whole: Path, shared: Path) -> pb.Story:
    """Makes a story in one folder to its end, and the same one in another folder only in part; returns the first."""
    async with stage(store=str(whole), segment_s=1.0) as undisturbed:
        told = (await watch(undisturbed, (await create(undisturbed, LONG)).story.story_id))[-1]
    async with stage(store=str(shared), segment_s=1.0) as first:
        first.generator.most_calls = 28
        assert (await create(first, LONG)).story.story_id == told.story_id
        await first.generator.stuck.wait()
    return told


@pytest.mark.parametrize("asked", [{}, {"without": ["c1"], "mood": pb.Mood(arousal=-0.3, valence=0.2)}])
async def test_the_story_of_a_lost_composer_has_the_same_bytes_as_an_undisturbed_one(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    async with stage(store=str(tmp_path / "a"), **QUICK) as undisturbed:
        story_id = (await create(undisturbed, LONG, **asked)).story.story_id
        expected = (await watch(undisturbed, story_id))[-1]
    shared = str(tmp_path / "b")
    async with stage(store=shared, **QUICK) as first, stage(store=shared, **QUICK, stories_running=0) as second:
        first.generator.most_calls = 28
        assert (await create(first, LONG, **asked)).story.story_id == story_id
        await first.generator.stuck.wait()
        cut_off_store(first)
        cut_off_queue(first)
        second.servicer.stories.worker.settings = first.servicer.settings  # from now on it makes stories
        stories = await watch(second, story_id)
        painted = sum(call.frame_count for call in second.generator.calls)
    assert stories[-1].state == expected.state == pb.STORY_STATE_SUCCEEDED
    assert (expected.attempt, stories[-1].attempt) == (1, 2)
    assert painted < FRAMES
    assert [file.digest for file in stories[-1].files] == [file.digest for file in expected.files]


async def test_a_composer_that_stops_leaves_its_story_to_others_at_once(tmp_path: Path) -> None:
    shared = str(tmp_path)
    async with stage(store=shared, segment_s=1.0) as first:
        first.generator.most_calls = 28
        story_id = (await create(first, LONG)).story.story_id
        await first.generator.stuck.wait()
    async with stage(store=shared, segment_s=1.0) as second:  # a lease would hold for 30 s
        story = (await asyncio.wait_for(watch(second, story_id), 20))[-1]
    assert (story.state, story.attempt) == (pb.STORY_STATE_SUCCEEDED, 2)


async def test_a_composer_that_cannot_reach_the_store_leaves_its_stories_to_others_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(store=str(tmp_path), lease_s=60.0, stories_running=0) as on:
        name = f"records/all/{(await create(on, LONG)).story.story_id}"
        cut_off_store(on)
        worker = on.servicer.stories.worker
        worker.settings = replace(worker.settings, stories_running=1)
        for _ in range(200):
            if f"{name}: away" in caplog.text:
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)  # time for it to take the story again
        ticket = await on.servicer.stories.queue.take(60.0)
    assert ticket is not None
    assert ticket.name == name
    assert caplog.text.count(f"{name}: away") == 1


async def test_a_story_that_an_earlier_version_left_is_finished(tmp_path: Path) -> None:
    shared = tmp_path / "b"
    expected = await leave_story(tmp_path / "a", shared)
    story_id = expected.story_id
    for path in shared.glob(".queue*"):  # it had none
        path.unlink()
    record = shared / "records" / "all" / story_id
    fields = json.loads(record.read_bytes()) | {"state": "RUNNING", "holder": "its composer", "priority": 3}
    fields["segments"] = [{key: one[key] for key in ("name", "first", "count")} for one in fields["segments"]]
    assert len(fields["segments"]) > 2
    record.write_text(json.dumps(fields))
    async with stage(store=str(shared), segment_s=1.0) as second:
        story = (await watch(second, story_id))[-1]
        painted = sum(call.frame_count for call in second.generator.calls)
    assert (story.state, story.attempt) == (pb.STORY_STATE_SUCCEEDED, 2)
    assert painted < FRAMES
    assert [file.digest for file in story.files] == [file.digest for file in expected.files]
    assert json.loads(record.read_bytes())["priority"] == 3


async def test_a_worker_that_fails_is_seen_and_works_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with stage(store=str(tmp_path)) as on:
        queue, failures = on.servicer.stories.worker._queue, 2
        take = queue.take

        async def fail_twice(lease_s: float) -> Any:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise ZeroDivisionError("a mistake of ours")
            return await take(lease_s)

        queue.take = fail_twice  # type: ignore[method-assign]
        async with asyncio.timeout(5):
            while find_failing() != ["stories"]:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
        story = (await watch(on, (await create(on)).story.story_id))[-1]
    assert story.state == pb.STORY_STATE_SUCCEEDED
    assert caplog.text.count("the background task stories failed") == 2
    assert find_failing() == []


async def test_restoring_frames_does_not_count_in_the_speed_of_making_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restoring_s, shared = 0.0, str(tmp_path)

    def read_slowly(path: Path) -> StoredFrames:
        nonlocal restoring_s
        restoring_s += 1000.0
        return read_segment(path)

    async with stage(store=shared, segment_s=1.0) as first:
        first.generator.most_calls = 28
        story_id = (await create(first, LONG)).story.story_id
        await first.generator.stuck.wait()
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + restoring_s, time=time.time)
    monkeypatch.setattr(job, "time", clock)
    monkeypatch.setattr(job, "read_segment", read_slowly)
    async with stage(store=shared, segment_s=1.0) as second:
        story = (await asyncio.wait_for(watch(second, story_id), 60))[-1]
    assert restoring_s > 0
    assert (story.state, story.frames_done) == (pb.STORY_STATE_SUCCEEDED, FRAMES)
    record = Record.from_bytes(FolderStore(tmp_path).read(f"records/all/{story_id}").content)
    assert record.frames_per_s > 1.0


async def test_a_successor_with_another_model_begins_anew(tmp_path: Path) -> None:
    shared = str(tmp_path)
    async with stage(store=shared, segment_s=1.0) as first:
        first.generator.most_calls = 28
        story_id = (await create(first, LONG)).story.story_id
        await first.generator.stuck.wait()
    async with stage(store=shared, segment_s=1.0, stories_running=0) as second:
        second.audio.digest = "zz"
        second.servicer.stories.worker.settings = first.servicer.settings
        story = (await watch(second, story_id))[-1]
        painted = sum(call.frame_count for call in second.generator.calls)
    manifest = json.loads(content(story, pb.STORY_FILE_KIND_MANIFEST))
    assert (story.state, painted, manifest["digests"]["audio_sentiment"]) == (pb.STORY_STATE_SUCCEEDED, FRAMES, "zz")


async def test_a_story_waits_while_a_service_is_unavailable(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), patience_s=0.2) as on:
        on.generator.failures = 1000
        story_id = (await create(on)).story.story_id
        call = on.stub.WatchStory(pb.WatchStoryRequest(story_id=story_id))
        while (
            story := (await asyncio.wait_for(call.read(), 20)).story
        ).attempt < 1 or story.state != pb.STORY_STATE_QUEUED:
            assert story.state in (pb.STORY_STATE_QUEUED, pb.STORY_STATE_RUNNING)
        call.cancel()
    assert (story.state, story.HasField("error"), story.end_time_us) == (pb.STORY_STATE_QUEUED, False, 0)


@pytest.fixture
def async_store(tmp_path: Path) -> AsyncStore:
    store: Store = FolderStore(tmp_path)
    now = time.time()
    store.create("records/all/a", Record("a", "all", "QUEUED", b"", "song", now, now + 100).to_bytes())
    return AsyncStore(store)


async def begin(async_store: AsyncStore, patience_s: float = 30.0) -> Attempt:
    return await Attempt.begin(async_store, *await async_store.read_record("records/all/a"), patience_s)


async def test_of_two_composers_one_gets_a_story(async_store: AsyncStore) -> None:
    record, version = await async_store.read_record("records/all/a")
    takes = [Attempt.begin(async_store, record, version, 30) for _ in range(2)]
    answers = await asyncio.gather(*takes, return_exceptions=True)
    assert {type(answer) for answer in answers} == {VersionConflict, Attempt}
    attempt = next(answer for answer in answers if isinstance(answer, Attempt))
    held, _ = await async_store.read_record("records/all/a")
    assert (held.state, held.epoch, held.losses, held) == ("RUNNING", 1, 0, attempt.record)


async def test_a_composer_that_was_frozen_writes_nothing_any_more(async_store: AsyncStore) -> None:
    sleeper = await begin(async_store)
    await sleeper.update(segments=(Segment("1/a", 0, 24),))
    successor = await begin(async_store)
    assert (successor.record.epoch, successor.record.losses) == (2, 1)
    before = async_store.blocking.read("records/all/a")
    for changes in ({}, {"segments": ()}, {"state": "SUCCEEDED"}, {"state": "QUEUED"}):
        with pytest.raises(AttemptLost):
            await sleeper.update(**changes)
    assert async_store.blocking.read("records/all/a") == before
    assert (await successor.update(frames_total=48)).segments == (Segment("1/a", 0, 24),)


async def test_what_was_given_back_is_no_loss(async_store: AsyncStore) -> None:
    for _ in range(3):
        attempt = await begin(async_store)
        await attempt.update(state="QUEUED")
    assert (await begin(async_store)).record.losses == 0


async def test_a_write_waits_for_the_store_for_so_long(async_store: AsyncStore) -> None:
    attempt = await begin(async_store, patience_s=0.1)
    async_store.blocking = UnreachableStore()  # type: ignore[assignment]
    with pytest.raises(StoreError):
        await attempt.update()


async def test_a_story_over_which_too_many_composers_died_fails(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0, lease_s=1.0) as on:
        story_id = (await create(on)).story.story_id
        async_store = on.servicer.stories.store
        assert async_store is not None
        record, version = await async_store.read_record(f"records/all/{story_id}")
        await async_store.replace_record(record, version, losses=5)
        on.servicer.stories.worker.settings = type(on.servicer.settings)(lease_s=1.0)
        story = (await watch(on, story_id))[-1]
    assert story.state == pb.STORY_STATE_FAILED
    assert story.error.message == f"internal error; quote story {story_id}"


async def test_losses_count_only_while_the_story_does_not_advance(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), segment_s=1.0, stories_running=0) as on:
        story_id = (await create(on, LONG)).story.story_id
        async_store = on.servicer.stories.store
        assert async_store is not None
        record, version = await async_store.read_record(f"records/all/{story_id}")
        await async_store.replace_record(record, version, state="RUNNING", losses=3)
    async with stage(store=str(tmp_path), segment_s=1.0) as on:
        on.generator.most_calls = 28
        await on.generator.stuck.wait()
        assert on.servicer.stories.store is not None
        record, _ = await on.servicer.stories.store.read_record(f"records/all/{story_id}")
    assert record.frames_done > 0
    assert record.losses == 0


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-99])])
async def test_a_damaged_segment_is_painted_again(tmp_path: Path, damage: Any) -> None:
    shared = tmp_path / "b"
    expected = await leave_story(tmp_path / "a", shared)
    story_id = expected.story_id
    segments = sorted(shared.rglob("*.zip"))
    assert len(segments) > 2
    damage(segments[1])
    async with stage(store=str(shared), segment_s=1.0) as second:
        story = (await watch(second, story_id))[-1]
    assert story.state == pb.STORY_STATE_SUCCEEDED
    assert [file.digest for file in story.files] == [file.digest for file in expected.files]
