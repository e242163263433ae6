"""Client.live: sound in while it is made, events out, credit as frames are taken."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deepsing.client import Client, StoryOptions
from deepsing.client.client import MIN_LIVE_WINDOW
from deepsing.client.errors import Refused, Unavailable
from deepsing.rpc.errors import Unavailable as ServerUnavailable
from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import error_reason_pb2 as reasons
from tests.unit.client.fake_composer import (
    Call,
    FakeComposer,
    end_event,
    frames,
    serve_composer,
    start_event,
    wait_for_hangup,
)

GONE = ServerUnavailable("generator does not answer", reason=reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE)


async def sound(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def wait_for_song_end(call: Call) -> None:
    await call.ended.wait()


@pytest.mark.parametrize(("fps", "window"), [(None, 12), (12, 6), (60, 30), (2, MIN_LIVE_WINDOW)])
async def test_live_is_asked_for_and_half_a_second_of_frames_may_be_on_their_way(fps: int | None, window: int) -> None:
    composer = FakeComposer([start_event(), wait_for_song_end, end_event()])
    async with serve_composer(composer) as target, Client(target) as client:
        events = [event async for event in client.live(sound(b"ab", b"cd"), StoryOptions(fps=fps, seed=9))]
    config = composer.calls[0].config
    assert (config.pacing, config.sentiment_mode) == (pb.PACING_LIVE, pb.SENTIMENT_MODE_ADAPTIVE)
    assert (config.seed, config.initial_credit) == (9, window)
    assert composer.calls[0].audio == b"abcd"
    assert isinstance(events[-1], pb.SessionEnd)


async def test_sound_goes_up_as_it_comes() -> None:
    heard = asyncio.Event()

    async def first_piece(call: Call) -> None:
        async with call.changed:
            await call.changed.wait_for(lambda: call.audio == b"first")
        heard.set()

    async def two_pieces() -> AsyncIterator[bytes]:
        yield b"first"
        await heard.wait()  # the composer has it, though there is more to come
        yield b"second"

    composer = FakeComposer([start_event(), first_piece, wait_for_song_end, end_event()])
    async with serve_composer(composer) as target, Client(target) as client, asyncio.timeout(10):
        assert [event async for event in client.live(two_pieces())]
    assert composer.calls[0].audio == b"firstsecond"


async def test_credit_follows_the_frames_that_are_taken_and_never_exceeds_the_window() -> None:
    composer = FakeComposer([start_event(), *frames(0, 40), wait_for_song_end, end_event()])
    async with serve_composer(composer) as target, Client(target) as client:
        taken = 0
        async for event in client.live(sound(b"x"), StoryOptions(fps=12)):
            if isinstance(event, pb.Frame):
                assert composer.calls[0].credit <= taken + 6
                taken += 1
    assert taken == 40


async def test_frames_that_were_dropped_are_told_in_their_place() -> None:
    note = pb.ComposeResponse(frames_dropped=pb.FramesDropped(first_seq=2, frame_count=3))
    composer = FakeComposer([start_event(), *frames(0, 2), note, *frames(5, 7), wait_for_song_end, end_event()])
    async with serve_composer(composer) as target, Client(target) as client:
        events = [event async for event in client.live(sound(b"x"))]
    told = [
        event.seq if isinstance(event, pb.Frame) else (event.first_seq, event.frame_count) for event in events[1:-1]
    ]
    assert told == [0, 1, (2, 3), 5, 6]


async def test_a_break_ends_a_live_story() -> None:
    composer = FakeComposer([start_event(), GONE])
    async with serve_composer(composer) as target, Client(target, retries=4) as client:
        with pytest.raises(Unavailable):
            _ = [event async for event in client.live(sound(b"x"))]
    assert len(composer.calls) == 1


async def test_a_failure_of_the_sound_reaches_the_caller() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise LookupError("unplugged")

    composer = FakeComposer([start_event(), wait_for_hangup])
    async with serve_composer(composer) as target, Client(target) as client:
        with pytest.raises(LookupError, match="unplugged"):
            _ = [event async for event in client.live(broken())]


async def test_a_mistake_is_told_before_anything_is_asked() -> None:
    composer = FakeComposer([start_event()])
    async with serve_composer(composer) as target, Client(target) as client:
        with pytest.raises(Refused, match="choose 1 to 60"):
            _ = [event async for event in client.live(sound(b"x"), StoryOptions(fps=61))]
    assert composer.calls == []
