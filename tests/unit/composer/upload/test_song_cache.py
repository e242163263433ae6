"""The cache of songs: only their owner finds them, for a limited time, and within its limits."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepsing.access.accounts import Account, caller_account
from deepsing.rpc.errors import parse_error_info
from deepsing.v1 import composer_pb2 as pb
from services.composer.session.session import Session
from services.composer.upload.song_cache import SongCache
from tests.unit.composer.fakes import Stage, config, pcm, stage, upload
from tests.unit.composer.session.test_session import compose_all, expect_refusal, only

SONG = pcm(6.3)
DIGEST = hashlib.sha256(SONG).hexdigest()


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def song_cache(tmp_path: Path, clock: Clock) -> SongCache:
    return SongCache(tmp_path, limit_bytes=100, limit_count=4, hold_s=60, clock=clock)


def write_song(folder: Path, content: bytes) -> Path:
    path = folder / hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    return path


def test_a_song_is_found_by_its_owner_alone(song_cache: SongCache, tmp_path: Path) -> None:
    song_cache.add("key a", "d", write_song(tmp_path, b"la"))
    found = song_cache.find("key a", "d")
    assert found is not None
    assert found.read_bytes() == b"la"
    assert song_cache.find("key b", "d") is None
    assert song_cache.find("", "d") is None


def test_a_song_outlives_its_first_file_and_is_deleted_when_it_expires(
    song_cache: SongCache, clock: Clock, tmp_path: Path
) -> None:
    first = write_song(tmp_path, b"la")
    song_cache.add("", "d", first)
    first.unlink()
    clock.now_s = 59
    found = song_cache.find("", "d")
    assert found is not None
    assert found.read_bytes() == b"la"
    clock.now_s = 118  # 59 s after it was found
    assert song_cache.find("", "d") == found
    clock.now_s = 178
    assert song_cache.find("", "d") is None
    assert not found.exists()
    assert song_cache.total_bytes == 0


def test_the_song_unused_for_longest_makes_room(song_cache: SongCache, tmp_path: Path) -> None:
    for name in "abc":
        song_cache.add("", name, write_song(tmp_path, name.encode() * 33))
    assert song_cache.find("", "a") is not None
    song_cache.add("", "d", write_song(tmp_path, b"d" * 33))
    assert [name for name in "abcd" if song_cache.find("", name)] == ["a", "c", "d"]
    assert song_cache.total_bytes == 99


def test_a_song_larger_than_the_cache_evicts_no_other(song_cache: SongCache, tmp_path: Path) -> None:
    song_cache.add("", "a", write_song(tmp_path, b"a"))
    song_cache.add("", "b", write_song(tmp_path, b"b" * 101))
    assert song_cache.find("", "b") is None
    assert song_cache.find("", "a") is not None


def test_no_more_songs_are_held_than_may_be(song_cache: SongCache, tmp_path: Path) -> None:
    for name in "abcde":
        song_cache.add("", name, write_song(tmp_path, name.encode()))
    assert [name for name in "abcde" if song_cache.find("", name)] == ["b", "c", "d", "e"]


async def resume_story(composer: Stage, seq: int, song_digest: str, audio: bytes) -> list[pb.ComposeResponse]:
    digest = only(await compose_all(composer.stub, config()), "session_started")[0].story_digest
    point = pb.ResumePoint(story_digest=digest, next_seq=seq, song_digest=song_digest)
    return await compose_all(composer.stub, config(resume=point), audio)


async def test_a_story_resumes_with_equal_bytes_without_the_song_being_sent_again() -> None:
    async with stage() as composer:
        whole = only(await compose_all(composer.stub, config()), "frame")
        responses = await resume_story(composer, 60, DIGEST, b"")
    assert only(responses, "session_started")[0].song_held
    assert only(responses, "frame") == whole[60:]
    assert only(responses, "session_end")[0].song_digest == DIGEST


async def test_a_song_that_is_not_held_is_asked_for() -> None:
    async with stage(held_songs_count=0) as composer:
        responses = await resume_story(composer, 140, DIGEST, SONG)
    assert not only(responses, "session_started")[0].song_held
    assert [frame.seq for frame in only(responses, "frame")] == list(range(140, 151))


async def test_another_song_than_the_one_announced_is_refused_once_it_has_come() -> None:
    async with stage() as composer:
        digest = only(await compose_all(composer.stub, config()), "session_started")[0].story_digest
        point = pb.ResumePoint(story_digest=digest, next_seq=3, song_digest="0" * 64)
        code, reason, text = await expect_refusal(composer.stub.Compose(upload(config(resume=point), SONG)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESUME_MISMATCH")
    assert text.startswith("the song is another than '000")


async def test_a_resumed_story_may_be_stopped_before_its_song_has_come() -> None:
    async with stage() as composer:
        digest = only(await compose_all(composer.stub, config()), "session_started")[0].story_digest
        servicer, point = composer.servicer, pb.ResumePoint(story_digest=digest, next_seq=3, song_digest="0" * 64)

        async def upload_and_stop() -> AsyncIterator[pb.ComposeRequest]:
            yield pb.ComposeRequest(config=config(resume=point))
            yield pb.ComposeRequest(audio_chunk=SONG[:32_000])
            yield pb.ComposeRequest(stop=pb.Stop())

        frames = only([one async for one in composer.stub.Compose(upload_and_stop())], "frame")
        assert [frame.seq for frame in frames] == list(range(3, 48))
        assert servicer.resources.song_cache.find("", hashlib.sha256(SONG[:32_000]).hexdigest()) is None


async def drain_call(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_audio_beside_a_held_song_is_refused() -> None:
    async with stage() as composer:
        digest = only(await compose_all(composer.stub, config()), "session_started")[0].story_digest
        point = pb.ResumePoint(story_digest=digest, next_seq=1, song_digest=DIGEST)
        call = composer.stub.Compose()
        await call.write(pb.ComposeRequest(config=config(resume=point)))
        assert (await call.read()).session_started.song_held
        await call.write(pb.ComposeRequest(audio_chunk=SONG[:1000]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain_call(call)
    code, reason = caught.value.code(), parse_error_info(caught.value)[0]
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "AUDIO_AFTER_END")


async def test_another_caller_does_not_learn_that_a_song_is_held() -> None:
    async with stage() as composer:
        digest = only(await compose_all(composer.stub, config()), "session_started")[0].story_digest
        point = pb.ResumePoint(story_digest=digest, next_seq=1, song_digest=DIGEST)
        caller_account.set(Account("key eve"))
        servicer = composer.servicer
        session = Session(servicer.settings, servicer.backends, servicer.resources, "s")
        caller_account.set(None)
        responses = [response async for response in session.run(upload(config(resume=point), SONG))]
    assert not only(responses, "session_started")[0].song_held


async def test_a_story_is_not_resumed_with_another_audio_model() -> None:
    async with stage() as composer:
        digest = only(await compose_all(composer.stub, config()), "session_started")[0].story_digest
        assert [one.model_digest for one in composer.audio.configs] == ["aa"]
        composer.audio.digest = "ab"
        point = pb.ResumePoint(story_digest=digest, next_seq=1)
        code, reason, _ = await expect_refusal(composer.stub.Compose(upload(config(resume=point), SONG)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESUME_MISMATCH")


async def test_nothing_is_held_once_the_composer_has_closed() -> None:
    async with stage() as composer:
        await compose_all(composer.stub, config())
        path = composer.servicer.resources.song_cache.find("", DIGEST)
        assert path is not None
        assert path.exists()
    assert not path.parent.exists()
