"""A live caller with enough credit that does not read, so that HTTP/2 blocks; other callers are not affected."""

import asyncio
from collections.abc import AsyncIterator

from deepsing.v1 import composer_pb2 as pb
from deepsing.v1.sentiment_pb2 import Size
from tests.unit.composer.fakes import config, pcm, stage

STEPS, STEP_S, FPS = 20, 0.5, 24
FRAMES = round(STEPS * STEP_S * FPS)
LARGE = Size(width_px=512, height_px=512)  # 786 KB raw: a few fill the connection's buffers


def seqs(response: pb.ComposeResponse) -> list[int]:
    """Numbers of the frames that a response contains or reports as dropped."""
    if response.HasField("frame"):
        return [response.frame.seq]
    dropped = response.frames_dropped
    return list(range(dropped.first_seq, dropped.first_seq + dropped.frame_count))


async def upload_in_steps(story: pb.StoryConfig, steps: asyncio.Queue[bool]) -> AsyncIterator[pb.ComposeRequest]:
    """Half a second of sound for each step that the test allows."""
    yield pb.ComposeRequest(config=story)
    for _ in range(STEPS):
        await steps.get()
        yield pb.ComposeRequest(audio_chunk=pcm(STEP_S))
    yield pb.ComposeRequest(end_of_audio=pb.EndOfAudio())


async def test_a_caller_that_does_not_read_loses_the_oldest_frames_and_delays_no_other() -> None:
    async with stage(live_late_s=2.0) as composer:
        steps: tuple[asyncio.Queue[bool], ...] = (asyncio.Queue(), asyncio.Queue())
        slow = aiter(composer.stub.Compose(upload_in_steps(config(pacing=pb.PACING_LIVE, size=LARGE), steps[0])))
        fast = composer.stub.Compose(upload_in_steps(config(pacing=pb.PACING_LIVE), steps[1]))
        assert (await anext(slow)).HasField("session_started")  # not read from now on
        seen: list[int] = []
        for queue in steps:
            queue.put_nowait(True)
        async for response in fast:
            if response.HasField("frame"):
                seen.append(response.frame.seq)
                if len(seen) % round(STEP_S * FPS) == 0:
                    for queue in steps:
                        queue.put_nowait(True)
        assert seen == list(range(FRAMES))
        responses = [response async for response in slow]
    kinds = [response.WhichOneof("payload") for response in responses]
    assert [seq for response in responses for seq in seqs(response)] == list(range(FRAMES))
    dropped = sum(response.frames_dropped.frame_count for response in responses)
    assert dropped > 0
    assert kinds.count("frame") == FRAMES - dropped > 0
    assert responses[-1].session_end.dropped_count == dropped
    assert responses[-1].session_end.frames_digest == ""
