"""Songs that are held for callers who come back: found by their owner, for a while, and never more than may be."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepsing.access.accounts import Account, caller_account
from deepsing.runtime.errors import error_of
from deepsing.v1 import composer_pb2 as pb
from services.composer.held import HeldSongs
from services.composer.session import Session

from .fakes import Stage, config, pcm, stage, upload
from .test_session import only, refusal, told

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
def held(tmp_path: Path, clock: Clock) -> HeldSongs:
    return HeldSongs(tmp_path, limit_bytes=100, limit_count=4, hold_s=60, clock=clock)


def file(folder: Path, content: bytes) -> Path:
    path = folder / hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    return path


def test_a_song_is_found_by_its_owner_alone(held: HeldSongs, tmp_path: Path) -> None:
    held.keep("key a", "d", file(tmp_path, b"la"))
    found = held.find("key a", "d")
    assert found is not None
    assert found.read_bytes() == b"la"
    assert held.find("key b", "d") is None
    assert held.find("", "d") is None


def test_a_song_outlives_its_first_file_and_goes_when_its_time_is_over(
    held: HeldSongs, clock: Clock, tmp_path: Path
) -> None:
    first = file(tmp_path, b"la")
    held.keep("", "d", first)
    first.unlink()
    clock.now_s = 59
    found = held.find("", "d")
    assert found is not None
    assert found.read_bytes() == b"la"
    clock.now_s = 118  # 59 s after it was found
    assert held.find("", "d") == found
    clock.now_s = 178
    assert held.find("", "d") is None
    assert not found.exists()
    assert held.total_bytes == 0


def test_the_song_unused_for_longest_makes_room(held: HeldSongs, tmp_path: Path) -> None:
    for name in "abc":
        held.keep("", name, file(tmp_path, name.encode() * 33))
    assert held.find("", "a") is not None
    held.keep("", "d", file(tmp_path, b"d" * 33))
    assert [name for name in "abcd" if held.find("", name)] == ["a", "c", "d"]
    assert held.total_bytes == 99


def test_a_song_that_is_larger_than_all_that_may_be_held_drives_nobody_out(held: HeldSongs, tmp_path: Path) -> None:
    held.keep("", "a", file(tmp_path, b"a"))
    held.keep("", "b", file(tmp_path, b"b" * 101))
    assert held.find("", "b") is None
    assert held.find("", "a") is not None


def test_no_more_songs_are_held_than_may_be(held: HeldSongs, tmp_path: Path) -> None:
    for name in "abcde":
        held.keep("", name, file(tmp_path, name.encode()))
    assert [name for name in "abcde" if held.find("", name)] == ["b", "c", "d", "e"]


async def resumed(composer: Stage, seq: int, song_digest: str, audio: bytes) -> list[pb.ComposeResponse]:
    digest = only(await told(composer.stub, config()), "session_started")[0].story_digest
    point = pb.ResumePoint(story_digest=digest, next_seq=seq, song_digest=song_digest)
    return await told(composer.stub, config(resume=point), audio)


async def test_a_story_goes_on_with_equal_bytes_without_the_song_being_sent_again() -> None:
    async with stage() as composer:
        whole = only(await told(composer.stub, config()), "frame")
        responses = await resumed(composer, 60, DIGEST, b"")
    assert only(responses, "session_started")[0].song_held
    assert only(responses, "frame") == whole[60:]
    assert only(responses, "session_end")[0].song_digest == DIGEST


async def test_a_song_that_is_not_held_is_asked_for() -> None:
    async with stage(held_songs_count=0) as composer:
        responses = await resumed(composer, 140, DIGEST, SONG)
    assert not only(responses, "session_started")[0].song_held
    assert [frame.seq for frame in only(responses, "frame")] == list(range(140, 151))


async def test_another_song_than_the_one_announced_is_refused_once_it_has_come() -> None:
    async with stage() as composer:
        digest = only(await told(composer.stub, config()), "session_started")[0].story_digest
        point = pb.ResumePoint(story_digest=digest, next_seq=3, song_digest="0" * 64)
        code, reason, text = await refusal(composer.stub.Compose(upload(config(resume=point), SONG)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESUME_MISMATCH")
    assert text.startswith("the song is another than '000")


async def test_a_resumed_story_may_be_stopped_before_its_song_has_come() -> None:
    async with stage() as composer:
        digest = only(await told(composer.stub, config()), "session_started")[0].story_digest
        servicer, point = composer.servicer, pb.ResumePoint(story_digest=digest, next_seq=3, song_digest="0" * 64)

        async def stopped() -> AsyncIterator[pb.ComposeRequest]:
            yield pb.ComposeRequest(config=config(resume=point))
            yield pb.ComposeRequest(audio_chunk=SONG[:32_000])
            yield pb.ComposeRequest(stop=pb.Stop())

        frames = only([one async for one in composer.stub.Compose(stopped())], "frame")
        assert [frame.seq for frame in frames] == list(range(3, 48))
        assert servicer.held.find("", hashlib.sha256(SONG[:32_000]).hexdigest()) is None


async def read_out(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def test_audio_beside_a_held_song_is_refused() -> None:
    async with stage() as composer:
        digest = only(await told(composer.stub, config()), "session_started")[0].story_digest
        point = pb.ResumePoint(story_digest=digest, next_seq=1, song_digest=DIGEST)
        call = composer.stub.Compose()
        await call.write(pb.ComposeRequest(config=config(resume=point)))
        assert (await call.read()).session_started.song_held
        await call.write(pb.ComposeRequest(audio_chunk=SONG[:1000]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await read_out(call)
    code, reason = caught.value.code(), error_of(caught.value)[0]
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "AUDIO_AFTER_END")


async def test_another_caller_does_not_learn_that_a_song_is_held() -> None:
    async with stage() as composer:
        digest = only(await told(composer.stub, config()), "session_started")[0].story_digest
        point = pb.ResumePoint(story_digest=digest, next_seq=1, song_digest=DIGEST)
        caller_account.set(Account("key eve"))
        servicer = composer.servicer
        session = Session(servicer.settings, servicer.peers, "s", folder=servicer.scratch.path, held=servicer.held)
        caller_account.set(None)
        responses = [response async for response in session.run(upload(config(resume=point), SONG))]
    assert not only(responses, "session_started")[0].song_held


async def test_a_story_that_another_audio_model_would_tell_is_not_gone_on_with() -> None:
    async with stage() as composer:
        digest = only(await told(composer.stub, config()), "session_started")[0].story_digest
        assert [one.model_digest for one in composer.audio.configs] == ["aa"]
        composer.audio.digest = "ab"
        point = pb.ResumePoint(story_digest=digest, next_seq=1)
        code, reason, _ = await refusal(composer.stub.Compose(upload(config(resume=point), SONG)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESUME_MISMATCH")


async def test_nothing_is_held_once_the_composer_has_closed() -> None:
    async with stage() as composer:
        await told(composer.stub, config())
        path = composer.servicer.held.find("", DIGEST)
        assert path is not None
        assert path.exists()
    assert not path.parent.exists()
