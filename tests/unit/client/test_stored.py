"""Stored stories through the client and the command, with a composer whose services are stand-ins."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepsing.client import Client, StoryOptions
from deepsing.client.errors import Failed, InvalidSong, Refused, Unavailable
from deepsing.v1 import composer_pb2 as pb
from services.composer.stored.folder import FolderStore
from tests.encoding import encode, tone
from tests.unit.composer.fakes import stage

OPTIONS = StoryOptions(fps=6, size=(64, 64), title="A tone")
NAMES = ["story.contact-sheet.png", "story.curve.png", "story.json", "story.mp4"]


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "tone.flac"
    path.write_bytes(encode(tone(2.0, 8000), 8000, "flac", "flac"))
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_story_is_created_watched_and_fetched(tmp_path: Path, song: Path) -> None:
    (tmp_path / "out").mkdir()
    async with stage(store=str(tmp_path / "store")) as on, Client(on.target) as client:
        made = await client.create_story(song, OPTIONS, idempotency_key="k")
        stories = [story async for story in client.watch_story(made.story_id)]
        paths = await client.fetch_story(made.story_id, tmp_path / "out")
        listed = [story.story_id async for story in client.list_stories()]
        shown = await client.get_story(made.story_id)
        kept = await client.cancel_story(made.story_id)
        with pytest.raises(Refused, match="another song or config") as caught:
            await client.create_story(song, idempotency_key="k")
    assert caught.value.reason == "IDEMPOTENCY_KEY_REUSED"
    assert stories[-1].state == shown.state == kept.state == pb.STORY_STATE_SUCCEEDED
    assert listed == [made.story_id]
    assert names_in(tmp_path / "out") == NAMES == sorted(path.name for path in paths)
    assert len(json.loads((tmp_path / "out" / "story.json").read_text())["frames"]) == 12


async def test_a_file_that_is_not_what_the_composer_says_is_not_saved(tmp_path: Path, song: Path) -> None:
    (tmp_path / "out").mkdir()
    async with stage(store=str(tmp_path / "store")) as on, Client(on.target) as client:
        story_id = (await client.create_story(song, OPTIONS)).story_id
        _ = [story async for story in client.watch_story(story_id)]
        store = FolderStore(tmp_path / "store")
        curve = next(name for name in store.list("stories/") if name.endswith("curve.png"))
        whole = store.read(curve)
        store.replace(curve, bytes(len(whole.content)), whole.version)
        with pytest.raises(Failed, match="arrived with digest"):
            await client.fetch_story(story_id, tmp_path / "out")
        store.delete(curve)
        with pytest.raises(Failed, match="on the composer's machine cannot be fetched"):
            await client.fetch_story(story_id, tmp_path / "out")
    assert names_in(tmp_path / "out") == []


async def test_mistakes_are_the_callers(tmp_path: Path, song: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on, Client(on.target) as client:
        with pytest.raises(InvalidSong) as caught:
            await client.create_story(b"no song at all")
        assert caught.value.reason == "SONG_UNREADABLE"
        with pytest.raises(FileNotFoundError):
            await client.create_story(tmp_path / "none.mp3")
        with pytest.raises(Refused, match="there is no story"):
            await client.get_story("0" * 32)
        story_id = (await client.create_story(song)).story_id
        with pytest.raises(Refused, match="is queued and has no files"):
            await client.fetch_story(story_id, tmp_path)


async def test_a_watch_that_breaks_is_begun_again_or_fails(tmp_path: Path, song: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on, Client(on.target, retries=1) as client:
        story_id = (await client.create_story(song, OPTIONS)).story_id
        stories = client.watch_story(story_id)
        assert (await anext(stories)).state == pb.STORY_STATE_QUEUED
    async with Client(on.target, retries=1) as client:
        with pytest.raises(Unavailable):
            await anext(client.watch_story(story_id))
    await stories.aclose()


async def test_the_command_creates_follows_lists_and_fetches(tmp_path: Path, song: Path) -> None:
    async with stage(store=str(tmp_path / "store")) as on:

        async def deepsing(*words: str) -> tuple[int, str]:
            command = [sys.executable, "-m", "deepsing.cli", "stories", *words, "--target", on.target]
            running = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            said, _ = await running.communicate()
            return running.returncode or 0, said.decode().strip()

        status, story_id = await deepsing("create", str(song), "--fps", "6", "--size", "64x64", "--title", "A tone")
        assert status == 0
        status, followed = await deepsing("watch", story_id, "--json")
        states = [json.loads(line)["state"] for line in followed.splitlines()]
        assert (status, states[-1]) == (0, "succeeded")
        status, listed = await deepsing("list")
        head, row = (line.split("\t") for line in listed.splitlines())
        assert (status, head) == (0, ["id", "created", "state", "title"])
        assert (row[0], row[2:]) == (story_id, ["succeeded", "A tone"])
        facts = json.loads((await deepsing("show", story_id, "--json"))[1])
        assert (facts["frames_done"], facts["frames_total"], facts["error"]) == (12, 12, None)
        assert [file["kind"] for file in facts["files"]] == ["video", "manifest", "contact_sheet", "curve"]
        assert (await deepsing("fetch", story_id, str(tmp_path / "new" / "folder")))[0] == 0
        assert names_in(tmp_path / "new" / "folder") == NAMES
        assert (await deepsing("cancel", story_id))[1].startswith(f"{story_id}  succeeded")
        assert (await deepsing("show", "0" * 32))[0] == 2
        assert (await deepsing("create", str(tmp_path / "none.mp3")))[0] == 2
