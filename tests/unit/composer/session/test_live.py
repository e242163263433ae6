"""Live sessions: frames are sent as their audio arrives; those that are late or not read are dropped."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from deepsing.v1 import composer_pb2 as pb
from services.composer.backends import hedging
from services.composer.pipeline.analysis import AnalysisUpdate, LatestUpdate
from services.composer.pipeline.live_frames import count_late
from services.composer.session.config import parse_config
from services.composer.story.timeline import Point
from tests.unit.composer.fakes import Stage, config, pcm, stage, upload
from tests.unit.composer.session.test_session import SONG, compose_all, expect_refusal, only

PATIENT = {"live_late_s": 60.0}  # so that no frame is late, even on a slow machine


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage(**PATIENT) as running:
        yield running


def live(**fields: Any) -> pb.StoryConfig:
    return config(pacing=pb.PACING_LIVE, **fields)


async def upload_and_wait(story: pb.StoryConfig, sound: bytes) -> AsyncIterator[pb.ComposeRequest]:
    """An upload that stops after some sound, without an end."""
    yield pb.ComposeRequest(config=story)
    yield pb.ComposeRequest(audio_chunk=sound)
    await asyncio.Event().wait()


async def upload_in_pieces() -> AsyncIterator[pb.ComposeRequest]:
    """The song in chunks of 1/16 s."""
    yield pb.ComposeRequest(config=live())
    for first in range(0, len(SONG), 1_000):
        yield pb.ComposeRequest(audio_chunk=SONG[first : first + 1_000])
    yield pb.ComposeRequest(end_of_audio=pb.EndOfAudio())


def numbers(responses: list[pb.ComposeResponse]) -> list[int]:
    """Numbers of sent and dropped frames, in the order of their messages."""
    found: list[int] = []
    for response in responses:
        if response.HasField("frame"):
            found.append(response.frame.seq)
        elif note := response.frames_dropped.frame_count:
            first = response.frames_dropped.first_seq
            found += range(first, first + note)
    return found


@pytest.mark.parametrize(("heard_s", "frames"), [(0.02, 1), (0.3, 7), (0.5, 12)])
async def test_frames_leave_once_the_audio_up_to_their_middle_came_with_no_window_to_wait_for(
    heard_s: float, frames: int, composer: Stage
) -> None:
    seen: list[pb.ComposeResponse] = []
    call = composer.stub.Compose(upload_and_wait(live(), pcm(heard_s)))
    async for response in call:
        seen.append(response)
        if len(only(seen, "frame")) == frames:
            break
    assert numbers(seen) == list(range(frames))
    call.cancel()


async def test_a_reader_that_keeps_up_has_every_frame(composer: Stage) -> None:
    responses = await compose_all(composer.stub, live())
    end = only(responses, "session_end")[0]
    assert numbers(responses) == list(range(151))
    assert (len(only(responses, "frame")), end.dropped_count, len(end.frames_digest)) == (151, 0, 64)
    assert only(responses, "frames_dropped") == []


async def test_equal_sound_gives_equal_pictures_however_it_is_cut(composer: Stage) -> None:
    whole = only(await compose_all(composer.stub, live()), "session_end")[0]
    cut = only([response async for response in composer.stub.Compose(upload_in_pieces())], "session_end")[0]
    assert whole.frames_digest
    assert cut.frames_digest == whole.frames_digest


async def test_without_credit_the_oldest_give_way_and_are_named() -> None:
    async with stage(live_late_s=4.0) as composer:  # 96 frames may wait
        responses = await compose_all(composer.stub, live(initial_credit=30))
    assert len(only(responses, "frame")) == 30
    assert numbers(responses) == list(range(151))
    assert only(responses, "session_end")[0].dropped_count == 121
    assert only(responses, "session_end")[0].frames_digest == ""


async def test_frames_whose_audio_came_too_long_ago_are_never_painted() -> None:
    async with stage(live_late_s=0.0) as composer:
        responses = await compose_all(composer.stub, live())
        painted = sum(call.frame_count for call in composer.generator.calls)
    assert painted <= 8, "a few may be painted before their audio has come"
    assert numbers(responses) == list(range(151))
    assert only(responses, "session_end")[0].dropped_count >= 151 - painted
    assert len(only(responses, "affect_point")) == 13


async def test_lag_is_the_time_from_the_arrival_of_audio_to_the_sending_of_its_frame(composer: Stage) -> None:
    composer.generator.release = asyncio.Event()
    call = composer.stub.Compose(upload(live(), pcm(0.5)))
    await asyncio.wait_for(composer.generator.called.wait(), 10)
    await asyncio.sleep(0.3)  # the lag that is to be reported
    composer.generator.release.set()
    beats = only([response async for response in call], "heartbeat")
    finishing = [beat for beat in beats if beat.phase == pb.PHASE_FINISHING]
    assert 300_000 <= finishing[0].lag_us < 20_000_000


async def test_after_a_failed_analysis_the_song_is_analysed_again_and_no_frame_comes_twice(composer: Stage) -> None:
    composer.audio.fail_after = 12  # analysed again in larger chunks, with fewer progress messages
    responses = [response async for response in composer.stub.Compose(upload_in_pieces())]
    assert numbers(responses) == list(range(151))
    assert [point.time_us for point in only(responses, "affect_point")] == [500_000 * k for k in range(13)]


async def test_relative_feelings_are_refused(composer: Stage) -> None:
    story = live(sentiment_mode=pb.SENTIMENT_MODE_RELATIVE)
    code, reason, _ = await expect_refusal(composer.stub.Compose(upload(story, SONG)))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MODE_NEEDS_WHOLE_SONG")


@pytest.mark.parametrize(
    ("story", "mode"),
    [
        (config(), "absolute"),
        (live(), "adaptive"),
        (live(sentiment_mode=pb.SENTIMENT_MODE_ABSOLUTE), "absolute"),
        (config(sentiment_mode=pb.SENTIMENT_MODE_ADAPTIVE), "adaptive"),
    ],
)
def test_live_feelings_are_adaptive_unless_said_otherwise(story: pb.StoryConfig, mode: str) -> None:
    assert parse_config(story).mode == mode


async def test_what_waits_for_the_scheduler_is_one_update() -> None:
    first, second = Point(0.0, 0.1, 0.2, 0.3, 0.4), Point(0.5, 0.1, 0.2, 0.3, 0.4)
    queue = LatestUpdate()
    queue.put(AnalysisUpdate([first], 12, False))
    queue.put(AnalysisUpdate([], 14, False))
    queue.put(AnalysisUpdate([second], 24, False))
    updates = queue.updates()
    assert await anext(updates) == AnalysisUpdate([first, second], 24, False)
    queue.put(AnalysisUpdate([], 25, True))
    assert [update async for update in updates] == [AnalysisUpdate([], 25, True)]


async def test_painting_runs_ahead_of_the_audio_as_far_as_readings_reach_and_not_further(composer: Stage) -> None:
    call = composer.stub.Compose(upload_and_wait(live(), pcm(0.02)))
    seen: list[pb.ComposeResponse] = []
    async for response in call:
        seen.append(response)
        if response.HasField("frame"):
            break
    while sum(one.frame_count for one in composer.generator.calls) < 4:  # noqa: ASYNC110 - two batches
        await asyncio.sleep(0)
    assert numbers(seen) == [0]
    assert composer.audio.heard.is_set() is False
    call.cancel()


async def test_frames_painted_beyond_the_end_are_not_sent(composer: Stage) -> None:
    responses = await compose_all(composer.stub, live(), pcm(0.75))
    assert numbers(responses) == list(range(18))
    assert only(responses, "session_end")[0].frame_count == 18


async def test_frames_beyond_the_end_are_cancelled_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEAST_S", "UNKNOWN_S"):  # a call made twice on a busy machine would use up one that is answered
        monkeypatch.setattr(hedging, name, 60.0)
    async with stage(live_late_s=60.0) as composer:  # none is left out, however busy the machine is
        # Never set: 12 frames are painted, and no more.
        composer.generator.release, composer.generator.free_call_count = asyncio.Event(), 6

        async def requests() -> AsyncIterator[pb.ComposeRequest]:
            yield pb.ComposeRequest(config=live())
            yield pb.ComposeRequest(audio_chunk=pcm(0.46))  # 11 frames; the twelfth is painted with the last of them
            while len(composer.generator.calls) <= composer.generator.free_call_count:  # noqa: ASYNC110 - a call hangs
                await asyncio.sleep(0.01)
            yield pb.ComposeRequest(end_of_audio=pb.EndOfAudio())

        async with asyncio.timeout(20):
            responses = [response async for response in composer.stub.Compose(requests())]
        assert numbers(responses) == list(range(11))
        assert responses[-1].HasField("session_end")
        await asyncio.wait_for(composer.generator.cancelled.wait(), 10)


@pytest.mark.parametrize(
    ("ages_s", "batch_s", "left_out"),
    [
        ([0.08, 0.0], 0.05, 0),  # in time
        ([0.30, 0.22, 0.14, 0.06], 0.05, 2),  # the first is late, the second would be
        ([0.22, 0.14, 0.06], 0.5, 1),  # all would be: the newest batch is painted nevertheless
        ([0.22], 0.5, 0),
        ([0.30], 0.0, 1),  # late already, and the newest there is
        ([], 0.5, 0),
    ],
)
def test_what_would_be_late_gives_way_to_newer_frames(ages_s: list[float], batch_s: float, left_out: int) -> None:
    assert count_late(ages_s, 0.25, batch_s, batch=2) == left_out
