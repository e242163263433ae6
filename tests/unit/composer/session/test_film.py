"""Stories whose engine paints fewer pictures than they have frames, seen by a camera."""

import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2
from services.composer.pipeline.capabilities import Capabilities
from services.composer.pipeline.live_frames import LiveFrameScheduler
from services.composer.pipeline.room import STYLED_BATCH, plan_room
from services.composer.pipeline.task import StoryTask
from services.composer.session.config import parse_config
from services.composer.story.timeline import REACTION_S
from services.composer.upload.arrivals import ArrivalLog
from tests.unit.composer.fakes import Stage, config, pcm, stage
from tests.unit.composer.session.test_session import compose_all, only

FRAMES = 151


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage(live_late_s=60.0) as running:
        running.generator.has_detail = True
        running.generator.paint_rate = 12.0
        running.generator.style_paint_rate = 8.0
        yield running


def count_painted(composer: Stage) -> int:
    return sum(call.frame_count for call in composer.generator.calls)


def pictures(responses: list[pb.ComposeResponse]) -> list[np.ndarray]:
    return [np.frombuffer(frame.image, np.uint8).reshape(64, 64, 3) for frame in only(responses, "frame")]


@pytest.mark.parametrize(
    ("fields", "painted"),
    [
        ({"paint_rate": 12}, 76),  # every second of 151 frames, from the first to the last
        ({"paint_rate": 8}, 51),  # every third, and one after the end
        ({}, 35),  # every second while a picture turns into another, every eighth while one is shown
        ({"style": "auto"}, 32),  # every third, and every sixth
        ({"paint_rate": 2}, 14),
        ({"paint_rate": 60, "style": "auto"}, 151),
        ({"frame_rate": sentiment_pb2.FrameRate(numerator=12, denominator=1)}, 35),
    ],
)
async def test_as_many_pictures_are_painted_as_the_pace_asks_for(
    fields: dict[str, Any], painted: int, composer: Stage
) -> None:
    responses = await compose_all(composer.stub, config(**fields))
    assert len(only(responses, "frame")) == only(responses, "session_end")[0].frame_count
    assert count_painted(composer) == painted


async def test_styled_pictures_are_asked_for_a_few_at_a_time(composer: Stage) -> None:
    await compose_all(composer.stub, config(style="none"))
    plain = max(call.frame_count for call in composer.generator.calls)
    composer.generator.calls.clear()
    await compose_all(composer.stub, config(style="auto"))
    assert (plain, max(call.frame_count for call in composer.generator.calls)) == (8, STYLED_BATCH)


async def test_a_generator_of_an_older_release_paints_every_frame(composer: Stage) -> None:
    composer.generator.paint_rate = composer.generator.style_paint_rate = 0.0
    await compose_all(composer.stub, config(style="auto"))
    assert count_painted(composer) == FRAMES


async def test_a_still_film_is_what_was_painted_and_blended(composer: Stage) -> None:
    still = config(motion=0, react=0, paint_rate=12)
    every = pictures(await compose_all(composer.stub, config(motion=0, react=0, paint_rate=60)))
    film = pictures(await compose_all(composer.stub, still))
    assert all(np.array_equal(film[seq], every[seq]) for seq in range(0, FRAMES, 2))
    between = [(every[seq].astype(int) + every[seq + 2]) / 2 for seq in range(0, FRAMES - 2, 2)]
    assert max(np.abs(film[2 * place + 1] - mean).max() for place, mean in enumerate(between)) <= 0.5


async def test_a_hold_is_never_a_still_unless_it_is_asked_for(composer: Stage) -> None:
    film = pictures(await compose_all(composer.stub, config()))
    assert all((one != other).any() for one, other in itertools.pairwise(film))


@pytest.mark.parametrize("fields", [{}, {"style": "auto"}, {"paint_rate": 2, "motion": 1, "react": 1}])
async def test_a_resumed_film_continues_with_equal_bytes(fields: dict[str, Any], composer: Stage) -> None:
    whole = await compose_all(composer.stub, config(**fields))
    digest, frames = whole[0].session_started.story_digest, only(whole, "frame")
    for seq in (1, 2, 50, 97, 130, 150):
        resume = pb.ResumePoint(story_digest=digest, next_seq=seq)
        resumed = only(await compose_all(composer.stub, config(resume=resume, **fields)), "frame")
        assert resumed == frames[seq:]


async def test_a_film_does_not_depend_on_the_size_of_batches() -> None:
    digests = set()
    for batch, in_flight in ((1, 1), (3, 2), (16, 3)):
        async with stage(batch=batch, batches_in_flight=in_flight) as composer:
            composer.generator.has_detail, composer.generator.paint_rate = True, 8.0
            digests.add(only(await compose_all(composer.stub, config()), "session_end")[0].frames_digest)
    assert len(digests) == 1


async def test_an_engine_that_changes_its_pace_makes_another_story(composer: Stage) -> None:
    before = (await compose_all(composer.stub, config()))[0].session_started.story_digest
    composer.generator.paint_rate = 6.0
    assert (await compose_all(composer.stub, config()))[0].session_started.story_digest != before


@pytest.mark.parametrize("paint_rate", [12, 2])
async def test_live_every_frame_is_there_whatever_the_pace(paint_rate: float, composer: Stage) -> None:
    live = config(pacing=pb.PACING_LIVE, paint_rate=paint_rate)
    responses = await compose_all(composer.stub, live)
    assert [frame.seq for frame in only(responses, "frame")] == list(range(FRAMES))
    assert only(responses, "frames_dropped") == []
    assert count_painted(composer) < FRAMES * paint_rate / 24 + 8  # some are painted ahead of the end


async def test_live_frames_of_the_built_in_pace_show_their_own_time_and_those_of_slow_ones_less_than_a_pace_later(
    composer: Stage,
) -> None:
    async def measure_delay(paint_rate: float) -> float:
        plan = parse_config(config(pacing=pb.PACING_LIVE, paint_rate=paint_rate))
        task = StoryTask(plan, await Capabilities.fetch(plan, composer.servicer.backends), "s")
        scheduler = LiveFrameScheduler(
            task,
            composer.servicer.backends,
            ArrivalLog(),
            composer.servicer.settings,
            plan_room(task, composer.servicer.settings),
        )
        return 4.0 - scheduler._find_time_s(96)

    assert await measure_delay(12) == 0
    assert await measure_delay(8) == 0
    assert await measure_delay(2) == pytest.approx(11 / 24 - REACTION_S)


async def test_the_manifest_says_how_the_film_was_made(composer: Stage) -> None:
    story = config(files=[pb.STORY_FILE_KIND_MANIFEST], motion=0.25, react=1)
    pieces = only(await compose_all(composer.stub, story, pcm(1.0)), "story_file_chunk")
    parameters = json.loads(b"".join(piece.data for piece in pieces))["parameters"]
    assert (parameters["motion"], parameters["react"], parameters["paint_rate"]) == (0.25, 1, 12)
