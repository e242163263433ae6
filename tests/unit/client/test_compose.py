"""Compose as an application sees it: each event once, credit as frames are taken, and breaks healed."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepsing.client import Client, StoryOptions
from deepsing.client import connection as connection_module
from deepsing.client import session as session_module
from deepsing.client.connection import Retries, RetryPolicy
from deepsing.client.errors import Failed, Unavailable
from deepsing.client.session import Event
from deepsing.rpc.errors import ResourceExhausted
from deepsing.rpc.errors import Unavailable as ServerUnavailable
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from deepsing.v1.sentiment_pb2 import AffectPoint
from tests.unit.client.fake_composer import (
    Call,
    FakeComposer,
    end_event,
    file_pieces,
    frames,
    points,
    serve_composer,
    start_event,
    wait_for_hangup,
    wait_for_song_end,
)

SONG = bytes(range(256)) * 700  # 179,200 bytes: three pieces
GONE = ServerUnavailable("generator does not answer", reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "FIRST_PAUSE_S", 0.0)


async def compose_story(
    composer: FakeComposer, song: object = SONG, *, window: int = 48, retries: int = 4
) -> list[Event]:
    async with serve_composer(composer) as target, Client(target, credit_window=window, retries=retries) as client:
        return [event async for event in client.compose(song)]  # type: ignore[arg-type]


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events if isinstance(event, pb.Frame)]


async def test_the_config_goes_first_then_the_song_in_pieces_of_at_most_64_kib_then_its_end(tmp_path: Path) -> None:
    song = tmp_path / "a song.mp3"
    song.write_bytes(SONG)
    composer = FakeComposer([start_event(), wait_for_song_end, end_event()])
    async with serve_composer(composer) as target, Client(target) as client:
        events = [event async for event in client.compose(song, StoryOptions(seed=7, fps="29.97"))]
    requests = composer.calls[0].requests
    assert [request.WhichOneof("payload") for request in requests] == ["config", *["audio_chunk"] * 3, "end_of_audio"]
    assert [len(request.audio_chunk) for request in requests[1:4]] == [65_536, 65_536, 48_128]
    assert composer.calls[0].audio == SONG
    assert (requests[0].config.seed, requests[0].config.frame_rate.numerator) == (7, 30_000)
    assert [type(event) for event in events] == [pb.SessionStarted, pb.SessionEnd]


async def test_a_reader_that_takes_its_time_has_no_more_than_the_window_waiting() -> None:
    composer = FakeComposer([start_event(), wait_for_song_end, *frames(0, 50), end_event()])
    taken, ahead = 0, 0
    async with serve_composer(composer) as target, Client(target, credit_window=6) as client:
        async for event in client.compose(SONG):
            ahead = max(ahead, composer.calls[0].frames_sent - taken)
            taken += isinstance(event, pb.Frame)
    assert taken == 50
    assert ahead <= 6
    assert composer.calls[0].credit >= 50


async def test_credit_overtakes_an_upload_that_waits_for_its_source() -> None:
    all_frames_seen = asyncio.Event()

    async def microphone() -> AsyncIterator[bytes]:
        yield b"first words"
        await all_frames_seen.wait()
        yield b"last words"

    composer = FakeComposer([start_event(), *frames(0, 20), wait_for_song_end, end_event(20)])
    async with serve_composer(composer) as target, Client(target, credit_window=4) as client:
        async for event in client.compose(microphone()):
            if isinstance(event, pb.Frame) and event.seq == 19:
                all_frames_seen.set()
    assert composer.calls[0].audio == b"first wordslast words"


async def test_after_a_break_the_story_goes_on_where_it_stopped_without_the_song_where_it_is_held() -> None:
    composer = FakeComposer(
        [start_event(), *points(3), wait_for_song_end, *frames(0, 5), GONE],
        [start_event(song_held=True), *points(3), wait_for_song_end, *frames(5, 8), end_event(8)],
    )
    events = await compose_story(composer)
    assert seqs(events) == list(range(8))
    assert [event.time_us for event in events if isinstance(event, AffectPoint)] == [0, 500_000, 1_000_000]
    assert [type(event) for event in events].count(pb.SessionStarted) == 1
    resume = composer.calls[1].config.resume
    assert (resume.story_digest, resume.next_seq) == ("5702", 5)
    assert resume.song_digest == hashlib.sha256(SONG).hexdigest()
    assert composer.calls[1].audio == b""


async def test_after_a_break_the_song_is_sent_again_where_it_is_not_held() -> None:
    composer = FakeComposer(
        [start_event(), wait_for_song_end, *frames(0, 5), GONE],
        [start_event(), wait_for_song_end, *frames(5, 8), end_event(8)],
    )
    assert seqs(await compose_story(composer)) == list(range(8))
    assert composer.calls[1].audio == SONG


async def test_frames_sent_once_more_are_dropped() -> None:
    composer = FakeComposer(
        [start_event(), wait_for_song_end, *frames(0, 5), GONE],
        [start_event(song_held=True), *frames(3, 8), end_event(8)],
    )
    assert seqs(await compose_story(composer, window=2)) == list(range(8))


async def test_readings_sent_once_more_are_dropped() -> None:
    def build_achieved_event(seq: int) -> pb.ComposeResponse:
        return pb.ComposeResponse(achieved_point=pb.AchievedPoint(seq=seq, pts_us=seq * 41_667))

    first = [start_event(), *frames(0, 30), build_achieved_event(0), build_achieved_event(24), *frames(30, 33), GONE]
    second = [start_event(), *frames(33, 60), build_achieved_event(24), build_achieved_event(48), end_event(60)]
    events = await compose_story(FakeComposer(first, second))
    assert [event.seq for event in events if isinstance(event, pb.AchievedPoint)] == [0, 24, 48]


async def test_a_story_with_files_begins_anew_after_a_break_without_the_song_where_it_is_held() -> None:
    composer = FakeComposer(
        [start_event(), wait_for_song_end, *frames(0, 5), GONE],
        [start_event(song_held=True), *frames(0, 8), *file_pieces(), end_event(8)],
    )
    async with serve_composer(composer) as target, Client(target) as client:
        events = [event async for event in client.compose(SONG, StoryOptions(files=("video",)))]
    assert seqs(events) == list(range(8))
    resume = composer.calls[1].config.resume
    assert (resume.next_seq, resume.song_digest) == (0, hashlib.sha256(SONG).hexdigest())
    assert composer.calls[1].audio == b""


FULL = ResourceExhausted("64 sessions are open", reason=reasons.ERROR_REASON_SESSIONS_EXHAUSTED, retry_after_s=0.01)


async def test_a_story_that_has_begun_waits_for_room_and_one_that_has_not_is_refused() -> None:
    whole = [start_event(), *frames(5, 8), end_event(8)]
    assert seqs(await compose_story(FakeComposer([start_event(), *frames(0, 5), GONE], [FULL], whole))) == list(
        range(8)
    )
    with pytest.raises(Unavailable, match="64 sessions are open"):
        await compose_story(FakeComposer([FULL], whole))


@pytest.mark.parametrize("code", ["CANCELLED", "INTERNAL", "UNKNOWN", "UNAVAILABLE"])
async def test_a_call_that_a_proxy_or_a_stopping_server_breaks_off_goes_on(code: str) -> None:
    class Broken(FakeComposer):
        async def Compose(self, requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[pb.ComposeResponse]:
            first = not self.calls
            async for response in super().Compose(requests, context):
                yield response
                if first and response.frame.seq == 4:
                    await context.abort(grpc.StatusCode[code], "broken")

    composer = Broken([start_event(), *frames(0, 5)], [start_event(), *frames(5, 8), end_event(8)])
    assert seqs(await compose_story(composer)) == list(range(8))


async def test_breaks_without_a_new_frame_are_put_up_with_only_so_often() -> None:
    composer = FakeComposer([start_event(), wait_for_song_end, *frames(0, 1), GONE], [start_event(), GONE])
    with pytest.raises(Unavailable, match="generator does not answer") as caught:
        await compose_story(composer, retries=2)
    assert caught.value.reason == "DEPENDENCY_UNAVAILABLE"
    assert len(composer.calls) == 3


async def test_a_song_that_cannot_be_sent_again_ends_with_the_break() -> None:
    async def microphone() -> AsyncIterator[bytes]:
        yield b"once only"

    composer = FakeComposer([start_event(), wait_for_song_end, *frames(0, 2), GONE])
    with pytest.raises(Unavailable):
        await compose_story(composer, microphone())
    assert len(composer.calls) == 1


async def test_another_story_after_a_break_is_not_mixed_with_the_first() -> None:
    composer = FakeComposer([start_event(), *frames(0, 2), GONE], [start_event("0f0f"), *frames(2, 3), end_event()])
    with pytest.raises(Failed, match="another story"):
        await compose_story(composer)


async def test_a_missing_frame_is_a_failure_and_a_dropped_one_is_not() -> None:
    dropped = pb.ComposeResponse(frames_dropped=pb.FramesDropped(first_seq=2, frame_count=3))
    assert seqs(
        await compose_story(FakeComposer([start_event(), *frames(0, 2), dropped, *frames(5, 6), end_event()]))
    ) == [0, 1, 5]
    with pytest.raises(Failed, match="sent frame 5 where 2 is next"):
        await compose_story(FakeComposer([start_event(), *frames(0, 2), *frames(5, 6), end_event()]))


async def test_a_source_that_fails_says_so_itself() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise ValueError("the tape is torn")

    with pytest.raises(ValueError, match="the tape is torn"):
        await compose_story(FakeComposer([start_event(), wait_for_hangup]), broken())


async def test_a_silent_composer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "SILENCE_LIMIT_S", 0.1)
    with pytest.raises(Unavailable, match="has said nothing for"):
        await compose_story(FakeComposer([start_event(), wait_for_hangup]), retries=0)


async def test_leaving_early_ends_the_call() -> None:
    composer = FakeComposer([start_event(), *frames(0, 1), wait_for_hangup])
    async with serve_composer(composer) as target, Client(target) as client:
        events = client.compose(SONG)
        async for event in events:
            if isinstance(event, pb.Frame):
                break
        await events.aclose()
        await asyncio.wait_for(composer.calls[0].closed.wait(), 20)


def list_open_files() -> list[Path]:
    return [path.resolve() for path in Path("/proc/self/fd").iterdir()]


async def test_leaving_early_closes_the_file_of_the_song(tmp_path: Path) -> None:
    song = tmp_path / "song.mp3"
    song.write_bytes(bytes(2 * 2**20))  # more than may wait to be sent
    async with (
        serve_composer(FakeComposer([start_event(), wait_for_hangup])) as target,
        Client(target) as client,
        aclosing(client.compose(song)) as events,
    ):
        await anext(events)
    assert song not in list_open_files()


async def test_each_retry_is_announced_and_the_last_failure_is_raised() -> None:
    sentences: list[str] = []
    composer = FakeComposer([start_event(), wait_for_song_end, *frames(0, 1), GONE], [start_event(), GONE])
    async with (
        serve_composer(composer) as target,
        Client(target, retries=2, on_retry=sentences.append) as client,
        aclosing(client.compose(SONG)) as events,
    ):
        with pytest.raises(Unavailable, match="generator does not answer"):
            _ = [event async for event in events]
    assert sentences == [
        "generator does not answer; retry 1 of 2 in 0 s",
        "generator does not answer; retry 2 of 2 in 0 s",
    ]


async def test_pauses_double_up_to_five_seconds_and_the_servers_own_wish_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def note(pause_s: float) -> None:
        pauses.append(pause_s)

    monkeypatch.setattr(connection_module, "FIRST_PAUSE_S", 0.2)
    monkeypatch.setattr(connection_module.asyncio, "sleep", note)
    retries = Retries(RetryPolicy(8))
    for _ in range(8):
        await retries.pause(Unavailable("away"))
    with pytest.raises(Unavailable, match="away"):
        await retries.pause(Unavailable("away"))
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])
    retries.reset()
    await retries.pause(Unavailable("full", retry_after_s=7))
    assert pauses[-1] == 7


async def test_a_call_cancelled_by_the_other_side_does_not_cancel_the_caller() -> None:
    class Cancelling(FakeComposer):
        async def Compose(self, requests: object, context: grpc.aio.ServicerContext) -> AsyncIterator[Call]:
            await context.abort(grpc.StatusCode.CANCELLED, "proxy says no")
            yield Call()

    with pytest.raises(Unavailable, match="cancelled the call"):
        await compose_story(Cancelling(), retries=0)


async def test_the_time_allowed_is_for_the_whole_story() -> None:
    composer = FakeComposer([start_event(), wait_for_hangup])
    async with serve_composer(composer) as target, Client(target, timeout_s=0.2) as client:
        with pytest.raises(Unavailable, match="not done in the time allowed") as caught:
            async for _ in client.compose(SONG):
                pass
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_client_that_is_not_open_says_how_to_open_it() -> None:
    with pytest.raises(RuntimeError, match="async with Client"):
        await Client("127.0.0.1:1").probe(SONG)
