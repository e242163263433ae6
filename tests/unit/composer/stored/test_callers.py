"""Callers see only their own stories, and are charged for the work on them."""

import asyncio
from pathlib import Path
from typing import Any

from deepsing.access.keys import new_key
from deepsing.access.keys_file import edit_keys
from deepsing.access.server_security import security_from_environment
from deepsing.v1 import composer_pb2 as pb
from tests.unit.composer.fakes import stage
from tests.unit.composer.stored.calls import SONG, upload
from tests.unit.composer.stored.test_stories import expect_refusal


def add_keys(path: Path, *names: str) -> list[tuple[tuple[str, str], ...]]:
    """What each caller sends."""
    path.write_text('{"keys": []}')
    metadata = []
    with edit_keys(path) as keys:
        for name in names:
            text, keys[name] = new_key(name)
            metadata.append((("authorization", f"Bearer {text}"),))
    return metadata


async def test_a_caller_sees_its_own_stories_only(tmp_path: Path) -> None:
    ann, bob = add_keys(tmp_path / "keys.json", "ann", "bob")
    environ = {"DEEPSING_ACCESS_KEYS_FILE": str(tmp_path / "keys.json")}

    def protect(name: str) -> Any:
        return security_from_environment(name, environ)

    async with stage(protect=protect, store=str(tmp_path / "store")) as on:
        on.generator.release = asyncio.Event()  # so that neither story has ended when both are looked at
        made = await on.stub.CreateStory(upload(SONG, "k"), metadata=ann)
        story_id = made.story.story_id
        asked = pb.GetStoryRequest(story_id=story_id)
        cancelled = pb.CancelStoryRequest(story_id=story_id)
        assert (await expect_refusal(on.stub.GetStory(asked, metadata=bob)))[1] == "STORY_NOT_FOUND"
        assert (await expect_refusal(on.stub.CancelStory(cancelled, metadata=bob)))[1] == "STORY_NOT_FOUND"
        assert (await expect_refusal(on.stub.GetStory(asked)))[:2] == ("UNAUTHENTICATED", "KEY_MISSING")
        assert not (await on.stub.ListStories(pb.ListStoriesRequest(), metadata=bob)).stories
        twin = await on.stub.CreateStory(upload(SONG, "k"), metadata=bob)
        assert (twin.story.story_id, twin.existed) == (story_id, False)  # its own, with its own key "k"
        accounts = list(on.servicer.stories.worker.accounts.values())
        on.generator.release.set()
        call = on.stub.WatchStory(pb.WatchStoryRequest(story_id=story_id), metadata=ann)
        assert [answer.story.state async for answer in call][-1] == pb.STORY_STATE_SUCCEEDED
        assert sorted(account.label for account in accounts if account) == ["key ann", "key bob"]
        mine = next(account for account in accounts if account and account.label == "key ann")
        assert mine._work_s >= 0.009  # 72 frames in nine batches of a millisecond each


async def test_a_story_that_waits_is_not_told_once_its_key_is_revoked(tmp_path: Path) -> None:
    ann, bob = add_keys(tmp_path / "keys.json", "ann", "bob")
    environ = {"DEEPSING_ACCESS_KEYS_FILE": str(tmp_path / "keys.json")}

    def protect(name: str) -> Any:
        return security_from_environment(name, environ)

    async with stage(protect=protect, store=str(tmp_path / "store"), stories_running=1) as on:
        on.generator.release = asyncio.Event()
        told = await on.stub.CreateStory(upload(SONG, "k"), metadata=bob)
        await on.stub.CreateStory(upload(SONG, "k"), metadata=ann)
        worker = on.servicer.stories.worker
        (waiting,) = (name for name, account in worker.accounts.items() if account and account.label == "key ann")
        with edit_keys(tmp_path / "keys.json") as keys:
            del keys["ann"]
        for _ in range(600):
            if not worker.accounts[waiting].is_valid():
                break
            await asyncio.sleep(0.05)
        on.generator.release.set()
        for _ in range(600):
            record, _version = await worker._store.read_record(waiting)
            if record.ended:
                break
            await asyncio.sleep(0.05)
        assert (record.state, record.error[1]) == ("FAILED", "KEY_INVALID")
        call = on.stub.WatchStory(pb.WatchStoryRequest(story_id=told.story.story_id), metadata=bob)
        assert [answer.story.state async for answer in call][-1] == pb.STORY_STATE_SUCCEEDED
