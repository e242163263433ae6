"""A part of a song shows what the whole story shows there, byte by byte; over real ports with fakes of the services."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deepsing.v1 import composer_pb2 as pb
from tests.unit.composer.fakes import Stage, config, pcm, stage_of_passages
from tests.unit.composer.session.test_session import compose_all, only
from tests.unit.composer.stored.calls import content, create, watch

SONG = pcm(20.3)  # 487 frames
RELATIVE, ADAPTIVE = pb.SENTIMENT_MODE_RELATIVE, pb.SENTIMENT_MODE_ADAPTIVE


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage_of_passages() as running:
        yield running


def list_shown(responses: list[pb.ComposeResponse]) -> list[Any]:
    return [(one.image, one.target, one.expected, one.concepts, one.styles) for one in only(responses, "frame")]


@pytest.mark.parametrize(
    ("start_us", "duration_us", "first", "fields"),
    [
        (8_000_000, 3_000_000, 192, {}),
        (7_123_456, 2_345_678, 171, {}),  # between two frames: the nearest one of the whole
        (400_000, 1_000_000, 10, {}),
        (0, 5_000_000, 0, {}),
        (12_000_000, 0, 288, {"style": "auto", "motion": 1, "react": 1}),
        (9_000_000, 4_000_000, 216, {"sentiment_mode": RELATIVE}),
        (9_000_000, 4_000_000, 216, {"sentiment_mode": ADAPTIVE, "paint_rate": 5}),
        (13_000_000, 3_000_000, 52, {"frame_rate": {"numerator": 4, "denominator": 1}}),
    ],
)
async def test_a_part_shows_what_the_whole_shows_there(
    start_us: int, duration_us: int, first: int, fields: dict[str, Any], composer: Stage
) -> None:
    whole = list_shown(await compose_all(composer.stub, config(**fields), SONG))
    part = await compose_all(composer.stub, config(start_us=start_us, duration_us=duration_us, **fields), SONG)
    shown, rate = list_shown(part), fields.get("frame_rate", {"numerator": 24})["numerator"]
    assert len(shown) == (round(duration_us * rate / 1e6) if duration_us else len(whole) - first)
    assert shown == whole[first : first + len(shown)]
    assert [frame.seq for frame in only(part, "frame")] == list(range(len(shown)))
    assert only(part, "frame")[1].pts_us == round(1e6 / rate)


async def test_without_a_rhythm_a_part_is_that_of_the_whole_too(composer: Stage) -> None:
    composer.audio.form = ()
    whole = list_shown(await compose_all(composer.stub, config(), SONG))
    part = list_shown(await compose_all(composer.stub, config(start_us=11_000_000, duration_us=4_000_000), SONG))
    assert part == whole[264 : 264 + 96]


async def test_only_what_a_part_depends_on_is_analysed_and_painted(composer: Stage) -> None:
    await compose_all(composer.stub, config(start_us=10_000_000, duration_us=500_000), SONG)
    painted = sum(call.frame_count for call in composer.generator.calls)
    assert 6 <= painted <= (12 + 4 * 24) / 2 + 2  # at most four seconds before it, for the guard of flashes
    points = only(
        await compose_all(composer.stub, config(start_us=10_000_000, duration_us=500_000), SONG), "affect_point"
    )
    assert [point.time_us for point in points] == [0]


async def test_a_part_that_is_resumed_or_stored_is_the_same(composer: Stage, tmp_path: Path) -> None:
    part = {"start_us": 8_000_000, "duration_us": 6_000_000}
    responses = await compose_all(composer.stub, config(**part), SONG)
    frames, end = only(responses, "frame"), only(responses, "session_end")[0]
    resume = pb.ResumePoint(next_seq=100, story_digest=responses[0].session_started.story_digest)
    assert only(await compose_all(composer.stub, config(resume=resume, **part), SONG), "frame") == frames[100:]
    async with stage_of_passages(store=str(tmp_path), segment_s=1.0) as storing:
        story = (await create(storing, SONG, **part)).story
        manifest = json.loads(content((await watch(storing, story.story_id))[-1], pb.STORY_FILE_KIND_MANIFEST))
    assert manifest["frames_digest"] == end.frames_digest


async def test_parts_are_other_stories_than_those_of_earlier_releases(composer: Stage) -> None:
    async def digest(**fields: Any) -> str:
        return str((await compose_all(composer.stub, config(**fields), pcm(2.0)))[0].session_started.story_digest)

    assert len({await digest(), await digest(start_us=500_000), await digest(duration_us=500_000)}) == 3
