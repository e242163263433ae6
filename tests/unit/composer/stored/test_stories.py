"""Stored stories: created once, watched, listed, cancelled, refused."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import grpc
import pytest

from deepsing.rpc.errors import InvalidArgument, parse_error_info
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1 import sentiment_pb2
from services.composer.settings import ComposerSettings
from services.composer.stored.folder import FolderStore
from services.composer.stored.queue import QueueError
from services.composer.stored.store import StoreError
from tests.encoding import encode, tone
from tests.unit.composer.fakes import Stage, config, pcm, stage
from tests.unit.composer.fakes import upload as compose_upload
from tests.unit.composer.stored.calls import SONG, content, create, upload, watch

FILE = sentiment_pb2.AudioFormat()


async def expect_refusal(call: Any) -> tuple[str, str, str]:
    """Code, reason and message of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, parse_error_info(caught.value)[0], caught.value.details()


async def test_a_story_is_made_to_its_end_and_its_files_are_those_of_its_frames(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), segment_s=1.0) as on:
        made = await create(on, title="A tone")
        assert made.story.state == pb.STORY_STATE_QUEUED
        assert not made.existed
        story = (await watch(on, made.story.story_id))[-1]
        responses = [one async for one in on.stub.Compose(compose_upload(config(), SONG))]
    assert story.state == pb.STORY_STATE_SUCCEEDED, story.error
    assert (story.frames_done, story.frames_total, story.attempt, story.title) == (72, 72, 1, "A tone")
    assert story.create_time_us < story.end_time_us < story.expire_time_us
    assert [file.kind for file in story.files] == [1, 2, 3, 4]
    for file in story.files:
        whole = content(story, file.kind)
        assert (file.byte_count, file.digest) == (len(whole), hashlib.sha256(whole).hexdigest())
    manifest = json.loads(content(story, pb.STORY_FILE_KIND_MANIFEST))
    assert manifest["frames_digest"] == responses[-1].session_end.frames_digest
    assert [frame["seq"] for frame in manifest["frames"]] == list(range(72))
    assert len(manifest["readings"]) == 3
    with av.open(BytesIO(content(story, pb.STORY_FILE_KIND_VIDEO))) as video:
        times = [round(frame.time * 24) for frame in video.decode(video=0)]
        sound = video.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(3.0, abs=0.1)
    assert times == list(range(72))
    names = list(FolderStore(tmp_path).list(""))  # neither the song nor segments stay
    kept = ("story.contact-sheet.png", "story.curve.png", "story.json", "story.mp4")
    folder = f"all/{story.story_id}"
    assert names == [f"records/{folder}", *(f"stories/{folder}/1/{name}" for name in kept)]


async def test_the_same_song_is_the_same_story_whatever_its_tags_and_key(tmp_path: Path) -> None:
    plain, tagged, other = (
        encode(tone(2.0 + longer), 44_100, "mp3", "libmp3lame", tags={"title": title})
        for title, longer in (("one", 0), ("another name", 0), ("one", 0.5))
    )
    assert plain != tagged
    async with stage(store=str(tmp_path), stories_running=0) as on:
        first = await create(on, plain, audio_format=FILE)
        copy = await create(on, tagged, key="a-key", audio_format=FILE)
        others = [
            await create(on, other, audio_format=FILE),
            await create(on, plain, audio_format=FILE, seed=8),
        ]
    assert (first.existed, copy.existed) == (False, True)
    assert copy.story.story_id == first.story.story_id
    assert not any(one.existed for one in others)
    assert len({first.story.story_id, *(one.story.story_id for one in others)}) == 3


async def test_a_key_makes_a_request_one_and_is_refused_for_another(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        first = await create(on, key="k1")
        again = await create(on, key="k1")
        assert (again.story.story_id, again.existed) == (first.story.story_id, True)
        for request in (upload(pcm(2.0), "k1"), upload(SONG, "k1", seed=9)):
            code, reason, message = await expect_refusal(on.stub.CreateStory(request))
            assert (code, reason) == ("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED")
            assert "send a new key" in message
        answer = await on.stub.ListStories(pb.ListStoriesRequest())
    assert [story.story_id for story in answer.stories] == [first.story.story_id]


async def test_a_cancelled_story_stops_at_once_and_can_be_made_again(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path)) as on:
        on.generator.release = asyncio.Event()
        story_id = (await create(on)).story.story_id
        await on.generator.called.wait()
        answer = await on.stub.CancelStory(pb.CancelStoryRequest(story_id=story_id))
        await asyncio.wait_for(on.generator.cancelled.wait(), 5)
        assert answer.story.state == pb.STORY_STATE_CANCELLED
        assert [story.state for story in await watch(on, story_id)] == [pb.STORY_STATE_CANCELLED]
        on.generator.release = None
        again = await create(on)
        assert (again.story.story_id, again.existed) == (story_id, False)
        ended = (await watch(on, story_id))[-1]
        assert ended.state == pb.STORY_STATE_SUCCEEDED
        kept = await on.stub.CancelStory(pb.CancelStoryRequest(story_id=story_id))
        assert kept.story == ended or kept.story.state == pb.STORY_STATE_SUCCEEDED


async def test_a_story_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        story_id = (await create(on, translator="dictionary")).story.story_id
    async with stage(store=str(tmp_path)) as on:
        on.translator.name = "another"
        story = (await watch(on, story_id))[-1]
    assert story.state == pb.STORY_STATE_FAILED
    assert (story.error.code, story.error.reason) == (3, "TRANSLATOR_UNKNOWN")
    assert story.error.message == "translator is 'dictionary'; choose one of: another"


async def test_stories_are_listed_page_by_page(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        made = sorted([(await create(on, seed=seed)).story.story_id for seed in range(5)])
        request, pages = pb.ListStoriesRequest(page_size=2), []
        while not pages or request.page_token:
            page = await on.stub.ListStories(request)
            pages.append([story.story_id for story in page.stories])
            request.page_token = page.next_page_token
    assert pages == [made[:2], made[2:4], made[4:]]


@pytest.mark.parametrize(
    ("call", "code", "reason", "said"),
    [
        (lambda on: on.stub.CreateStory(upload(SONG, "x" * 65)), "INVALID_ARGUMENT", "IDEMPOTENCY_KEY_INVALID", "65"),
        (lambda on: on.stub.CreateStory(upload(SONG, "a b")), "INVALID_ARGUMENT", "IDEMPOTENCY_KEY_INVALID", "a-z"),
        (lambda on: on.stub.CreateStory(upload(b"")), "INVALID_ARGUMENT", "SONG_EMPTY", "no bytes"),
        (lambda on: on.stub.CreateStory(upload(SONG, pacing=2)), "INVALID_ARGUMENT", "FILES_INVALID", "live"),
        (lambda on: on.stub.CreateStory(upload(SONG, style="x")), "INVALID_ARGUMENT", "STYLE_UNKNOWN", "'x'"),
        (
            lambda on: on.stub.CreateStory(upload(SONG, start_us=3_000_000)),
            "INVALID_ARGUMENT",
            "PART_OUT_OF_RANGE",
            "3 s",
        ),
        (lambda on: on.stub.CreateStory(upload(pcm(0.2))), "INVALID_ARGUMENT", "SONG_TOO_SHORT", "0.2"),
        (lambda on: on.stub.CreateStory(empty_upload()), "INVALID_ARGUMENT", "CONFIG_MISSING", "config first"),
        (lambda on: on.stub.GetStory(pb.GetStoryRequest(story_id="0" * 32)), "NOT_FOUND", "STORY_NOT_FOUND", "000"),
        (lambda on: on.stub.GetStory(pb.GetStoryRequest(story_id="../a")), "NOT_FOUND", "STORY_NOT_FOUND", "../a"),
        (lambda on: on.stub.CancelStory(pb.CancelStoryRequest()), "NOT_FOUND", "STORY_NOT_FOUND", "ListStories"),
        (
            lambda on: on.stub.ListStories(pb.ListStoriesRequest(page_size=101)),
            "INVALID_ARGUMENT",
            "PAGE_INVALID",
            "101",
        ),
        (
            lambda on: on.stub.ListStories(pb.ListStoriesRequest(page_token="x")),
            "INVALID_ARGUMENT",
            "PAGE_INVALID",
            "page",
        ),
    ],
)
async def test_what_breaks_a_rule_is_refused(tmp_path: Path, call: Any, code: str, reason: str, said: str) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        got = await expect_refusal(call(on))
        assert got[:2] == (code, reason)
        assert said in got[2]
    assert list(FolderStore(tmp_path).list("")) == []


async def empty_upload() -> Any:
    yield pb.CreateStoryRequest()


async def test_what_the_generator_refuses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse_engine(*_: object) -> None:
        message = "engine is 'none'; choose one of: canvas"
        raise InvalidArgument(message, reason=reasons.ERROR_REASON_ENGINE_UNKNOWN, field="engine", value="none")

    monkeypatch.setattr("services.composer.pipeline.capabilities._fetch_vocabulary", refuse_engine)
    async with stage(store=str(tmp_path)) as on:
        code, reason, said = await expect_refusal(on.stub.CreateStory(upload(SONG, engine="none")))
    assert (code, reason, said) == ("INVALID_ARGUMENT", "ENGINE_UNKNOWN", "engine is 'none'; choose one of: canvas")


async def test_one_story_too_many_is_refused_until_another_has_ended(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0, stories_waiting=2) as on:
        first, second = [(await create(on, seed=seed)).story.story_id for seed in (1, 2)]
        code, reason, said = await expect_refusal(on.stub.CreateStory(upload(SONG, seed=3)))
        assert (code, reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
        assert said == "2 of your stories have not ended, the most there may be; try again in 60 s"
        assert (await create(on, seed=2)).existed, "one that is there is no further one"
        await on.stub.CancelStory(pb.CancelStoryRequest(story_id=first))
        assert not (await create(on, seed=3)).existed
        await on.stub.CancelStory(pb.CancelStoryRequest(story_id=second))
        at_once = await asyncio.gather(*(create(on, seed=seed) for seed in (4, 5, 6)), return_exceptions=True)
        assert sum(isinstance(answer, pb.CreateStoryResponse) for answer in at_once) == 1
    assert ComposerSettings().stories_waiting == 1000, "as the contract says"


async def test_a_composer_without_a_store_says_so() -> None:
    async with stage() as on:
        for call in all_calls(on):
            assert (await expect_refusal(call))[:2] == ("FAILED_PRECONDITION", "STORIES_OFF")


async def test_an_unavailable_store_is_reported_as_an_unavailable_service(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), stories_running=0) as on:
        cut_off_store(on)
        for call in all_calls(on):
            got = await expect_refusal(call)
            assert got[:2] == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
            assert "try again in 5 s" in got[2]


def all_calls(on: Stage) -> Iterator[Any]:
    """Each RPC of stored stories, one after another."""
    yield on.stub.CreateStory(upload(SONG))
    yield on.stub.GetStory(pb.GetStoryRequest(story_id="0" * 32))
    yield on.stub.ListStories(pb.ListStoriesRequest())
    yield on.stub.CancelStory(pb.CancelStoryRequest(story_id="0" * 32))
    yield on.stub.WatchStory(pb.WatchStoryRequest(story_id="0" * 32)).read()


class UnreachableQueue:
    """A queue that cannot be reached."""

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: Any) -> None:
            if name != "close":
                raise QueueError("away")

        return fail


def cut_off_queue(on: Stage) -> None:
    stories = on.servicer.stories
    stories.queue = stories.worker._queue = UnreachableQueue()  # type: ignore[assignment]


class UnreachableStore:
    """A store that cannot be reached."""

    def __getattr__(self, name: str) -> Any:
        raise StoreError("away")


def cut_off_store(on: Stage) -> None:
    assert on.servicer.stories.store is not None
    stories = on.servicer.stories
    stories.store.blocking = stories._work_store.blocking = UnreachableStore()  # type: ignore[assignment]
