"""What sessions leave in the meters: real ones with stand-ins behind them, and messages by hand for the clock."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2
from services.composer import meters
from services.composer.meters import metered
from tests.unit.telemetry.counted import Counted

from .fakes import config, pcm, stage, upload

RATE_HZ = 8000
SECOND = bytes(2 * RATE_HZ)


class Clock:
    """A clock that tests set."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(meters, "monotonic", clock)
    return clock


def frame(seq: int, pts_us: int) -> pb.ComposeResponse:
    return pb.ComposeResponse(frame=pb.Frame(seq=seq, pts_us=pts_us))


async def test_a_story_is_counted_with_its_frames_and_how_its_feeling_was_met(counted: Counted) -> None:
    async with stage() as composer:
        responses = [one async for one in composer.stub.Compose(upload(config(), pcm(2)))]
    (end,) = (one.session_end for one in responses if one.HasField("session_end"))
    assert counted("deepsing_frames_sent_total") == end.frame_count == 48
    assert counted("deepsing_frames_made_total", pacing="offline") == 48
    assert counted("deepsing_stories_total", pacing="offline") == 1
    assert counted("deepsing_first_frame_seconds_count", pacing="offline") == 1
    assert counted("deepsing_story_r_count", dimension="arousal") == 1
    assert counted("deepsing_story_r_sum", dimension="valence") == pytest.approx(end.achieved.valence.r)
    assert (counted("deepsing_sessions", state="active"), counted("deepsing_sessions", state="pending")) == (0, 0)


async def test_a_session_is_pending_until_its_first_frame_and_active_until_it_is_left(counted: Counted) -> None:
    seen: list[tuple[float, float]] = []

    def look() -> None:
        seen.append((counted("deepsing_sessions", state="pending"), counted("deepsing_sessions", state="active")))

    async def run(requests: AsyncIterator[pb.ComposeRequest]) -> AsyncGenerator[pb.ComposeResponse]:
        yield pb.ComposeResponse(session_started=pb.SessionStarted())
        yield frame(0, 0)
        yield frame(1, 41_667)

    responses = metered(run, upload(config(), SECOND))
    async for _ in responses:
        look()
        if len(seen) == 2:
            break
    await responses.aclose()
    look()
    assert seen == [(1, 0), (0, 1), (0, 0)]


async def test_a_session_that_fails_before_its_first_frame_does_not_stay_pending(counted: Counted) -> None:
    async def run(requests: AsyncIterator[pb.ComposeRequest]) -> AsyncGenerator[pb.ComposeResponse]:
        raise ValueError("refused")
        yield

    with pytest.raises(ValueError, match="refused"):
        await anext(metered(run, upload(config(), SECOND)))
    assert counted("deepsing_sessions", state="pending") == 0


async def told(
    story: pb.StoryConfig, run_after: list[tuple[float, pb.ComposeResponse]], clock: Clock, *audio: bytes
) -> None:
    """A session that takes a request a second, and then answers at the given moments."""

    async def requests() -> AsyncIterator[pb.ComposeRequest]:
        yield pb.ComposeRequest(config=story)
        for chunk in audio:
            clock.now_s += 1
            yield pb.ComposeRequest(audio_chunk=chunk)

    async def run(incoming: AsyncIterator[pb.ComposeRequest]) -> AsyncGenerator[pb.ComposeResponse]:
        _ = [request async for request in incoming]
        for moment, response in run_after:
            clock.now_s = moment
            yield response

    _ = [response async for response in metered(run, requests())]


def live(**options: Any) -> pb.StoryConfig:
    audio = sentiment_pb2.AudioFormat(
        sample_format=sentiment_pb2.SAMPLE_FORMAT_S16LE, sample_rate_hz=RATE_HZ, channel_count=1
    )
    return config(pacing=pb.PACING_LIVE, audio_format=audio, **options)


async def test_live_lag_runs_from_the_arrival_of_a_frames_audio_until_the_frame_leaves(
    counted: Counted, clock: Clock
) -> None:
    # Audio of [0, 1) s comes at 101, of [1, 2) s at 102.
    answers = [(102.5, frame(0, 0)), (102.5, frame(1, 500_000)), (102.25, frame(2, 1_000_000))]
    await told(live(), answers, clock, SECOND, SECOND)
    assert counted("deepsing_live_lag_seconds_count") == 3
    assert counted("deepsing_live_lag_seconds_sum") == pytest.approx(1.5 + 1.5 + 0.25)


async def test_lag_is_not_made_up_where_it_cannot_be_known(counted: Counted, clock: Clock) -> None:
    encoded = config(pacing=pb.PACING_LIVE, audio_format=sentiment_pb2.AudioFormat())
    await told(encoded, [(102, frame(0, 0))], clock, SECOND)
    await told(config(), [(102, frame(0, 0))], clock, SECOND)  # offline
    await told(live(), [(103, frame(0, 5_000_000))], clock, SECOND)  # beyond the audio
    assert counted("deepsing_live_lag_seconds_count") == 0


async def test_dropped_frames_are_counted_one_by_one(counted: Counted, clock: Clock) -> None:
    notes = [pb.ComposeResponse(frames_dropped=pb.FramesDropped(first_seq=3, frame_count=4))] * 2
    await told(live(), [(101, note) for note in notes], clock)
    assert counted("deepsing_frames_dropped_total") == 8


async def test_frames_of_a_story_that_only_leaves_files_are_known_from_heartbeats(
    counted: Counted, clock: Clock
) -> None:
    beats = [pb.ComposeResponse(heartbeat=pb.Heartbeat(frames_done=done)) for done in (0, 10, 10, 25)]
    end = pb.ComposeResponse(session_end=pb.SessionEnd(frame_count=30))
    await told(config(), [(105, beats[0]), *((106, one) for one in beats[1:]), (107, end)], clock)
    assert counted("deepsing_frames_made_total", pacing="offline") == 30
    assert counted("deepsing_frames_sent_total") == 0
    assert counted("deepsing_first_frame_seconds_sum", pacing="offline") == 6


async def test_a_resumed_story_counts_only_what_it_makes_anew(counted: Counted, clock: Clock) -> None:
    story = config(resume=pb.ResumePoint(next_seq=20))
    await told(story, [(101, pb.ComposeResponse(heartbeat=pb.Heartbeat(frames_done=26)))], clock)
    assert counted("deepsing_resumes_total") == 1
    assert counted("deepsing_frames_made_total", pacing="offline") == 6
