"""The metrics of sessions: whole ones with fakes of the services, and single messages with a fake clock."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2
from services.composer import metrics as metrics_module
from services.composer.session.counting import count_session
from tests.encoding import encode, tone
from tests.unit.composer.fakes import config, pcm, stage, upload
from tests.unit.telemetry.counted import MetricDelta

RATE_HZ = 8000
SECOND = bytes(2 * RATE_HZ)


class Clock:
    """A clock that tests set."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def metric() -> MetricDelta:
    return MetricDelta()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(metrics_module, "monotonic", clock)
    return clock


async def test_a_story_is_counted_with_its_frames_and_how_its_feeling_was_met(metric: MetricDelta) -> None:
    async with stage() as composer:
        responses = [one async for one in composer.stub.Compose(upload(config(), pcm(2)))]
    (end,) = (one.session_end for one in responses if one.HasField("session_end"))
    assert metric("deepsing_frames_sent_total") == end.frame_count == 48
    assert metric("deepsing_frames_made_total", pacing="offline") == 48
    assert metric("deepsing_stories_total", pacing="offline") == 1
    assert metric("deepsing_first_frame_seconds_count", pacing="offline") == 1
    assert metric("deepsing_story_r_count", dimension="arousal") == 1
    assert metric("deepsing_story_r_sum", dimension="valence") == pytest.approx(end.achieved.valence.r)
    assert (metric("deepsing_sessions", state="active"), metric("deepsing_sessions", state="pending")) == (0, 0)


async def test_a_session_is_pending_until_its_first_frame_and_active_until_it_is_left(metric: MetricDelta) -> None:
    seen: list[tuple[float, float]] = []

    def look() -> None:
        seen.append((metric("deepsing_sessions", state="pending"), metric("deepsing_sessions", state="active")))

    async def run(requests: AsyncIterator[pb.ComposeRequest]) -> AsyncGenerator[pb.ComposeResponse]:
        yield pb.ComposeResponse(session_started=pb.SessionStarted())
        yield pb.ComposeResponse(frame=pb.Frame(seq=0))
        yield pb.ComposeResponse(frame=pb.Frame(seq=1))

    responses = count_session(run, upload(config(), SECOND))
    async for _ in responses:
        look()
        if len(seen) == 2:
            break
    await responses.aclose()
    look()
    assert seen == [(1, 0), (0, 1), (0, 0)]


async def test_a_session_that_fails_before_its_first_frame_does_not_stay_pending(metric: MetricDelta) -> None:
    async def run(requests: AsyncIterator[pb.ComposeRequest]) -> AsyncGenerator[pb.ComposeResponse]:
        raise ValueError("refused")
        yield

    with pytest.raises(ValueError, match="refused"):
        await anext(count_session(run, upload(config(), SECOND)))
    assert metric("deepsing_sessions", state="pending") == 0


async def run_session(story: pb.StoryConfig, run_after: list[tuple[float, pb.ComposeResponse]], clock: Clock) -> None:
    """A session that responds at given times."""

    async def requests() -> AsyncIterator[pb.ComposeRequest]:
        yield pb.ComposeRequest(config=story)

    async def run(incoming: AsyncIterator[pb.ComposeRequest]) -> AsyncGenerator[pb.ComposeResponse]:
        _ = [request async for request in incoming]
        for moment, response in run_after:
            clock.now_s = moment
            yield response

    _ = [response async for response in count_session(run, requests())]


def live(**options: Any) -> pb.StoryConfig:
    audio = sentiment_pb2.AudioFormat(
        sample_format=sentiment_pb2.SAMPLE_FORMAT_S16LE, sample_rate_hz=RATE_HZ, channel_count=1
    )
    return config(pacing=pb.PACING_LIVE, audio_format=audio, **options)


@pytest.mark.parametrize("audio", ["raw", "mp3"])
async def test_every_live_frame_says_how_far_it_trails_its_audio(metric: MetricDelta, audio: str) -> None:
    if audio == "raw":
        sound, form = pcm(2.0), live().audio_format
    else:
        sound, form = encode(tone(2.0), 44_100, "mp3", "libmp3lame"), sentiment_pb2.AudioFormat()
    async with stage() as composer:
        story = config(pacing=pb.PACING_LIVE, audio_format=form)
        responses = [one async for one in composer.stub.Compose(upload(story, sound))]
    frames = sum(one.HasField("frame") for one in responses)
    assert frames > 40
    assert metric("deepsing_live_lag_seconds_count") == frames
    assert 0 < metric("deepsing_live_lag_seconds_sum") < 10 * frames


async def test_frames_that_nobody_waits_for_live_have_no_lag(metric: MetricDelta) -> None:
    async with stage() as composer:
        _ = [one async for one in composer.stub.Compose(upload(config(), pcm(1.0)))]
    assert metric("deepsing_live_lag_seconds_count") == 0


async def test_dropped_frames_are_counted_one_by_one(metric: MetricDelta, clock: Clock) -> None:
    notes = [pb.ComposeResponse(frames_dropped=pb.FramesDropped(first_seq=3, frame_count=4))] * 2
    await run_session(live(), [(101, note) for note in notes], clock)
    assert metric("deepsing_frames_dropped_total") == 8


async def test_frames_of_a_story_that_only_leaves_files_are_known_from_heartbeats(
    metric: MetricDelta, clock: Clock
) -> None:
    beats = [pb.ComposeResponse(heartbeat=pb.Heartbeat(frames_done=done)) for done in (0, 10, 10, 25)]
    end = pb.ComposeResponse(session_end=pb.SessionEnd(frame_count=30))
    await run_session(config(), [(105, beats[0]), *((106, one) for one in beats[1:]), (107, end)], clock)
    assert metric("deepsing_frames_made_total", pacing="offline") == 30
    assert metric("deepsing_frames_sent_total") == 0
    assert metric("deepsing_first_frame_seconds_sum", pacing="offline") == 6


async def test_a_resumed_story_counts_only_what_it_makes_anew(metric: MetricDelta, clock: Clock) -> None:
    story = config(resume=pb.ResumePoint(next_seq=20))
    await run_session(story, [(101, pb.ComposeResponse(heartbeat=pb.Heartbeat(frames_done=26)))], clock)
    assert metric("deepsing_resumes_total") == 1
    assert metric("deepsing_frames_made_total", pacing="offline") == 6
