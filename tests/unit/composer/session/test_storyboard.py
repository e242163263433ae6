"""Stories with a storyboard, and plans of stories; over real ports with fakes of the services."""

import itertools
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from deepsing.v1 import composer_pb2 as pb
from tests.unit.composer.fakes import Stage, config, pcm, stage, stage_of_passages
from tests.unit.composer.session.test_parts import list_shown
from tests.unit.composer.session.test_session import compose_all, expect_refusal, only
from tests.unit.composer.stored.calls import content, create, watch

SONG = pcm(20.3)  # 487 frames
NAMED = pb.NamedWeight


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage_of_passages() as running:
        yield running


async def plan(composer: Stage, story: pb.StoryConfig, song: bytes = SONG) -> pb.PlanStoryResponse:
    async def requests() -> AsyncIterator[pb.PlanStoryRequest]:
        yield pb.PlanStoryRequest(config=story)
        for first in range(0, len(song), 65_536):
            yield pb.PlanStoryRequest(audio_chunk=song[first : first + 65_536])

    answer: pb.PlanStoryResponse = await composer.stub.PlanStory(requests())
    return answer


async def plan_board(composer: Stage, *, locked: bool = True, **fields: Any) -> list[pb.StoryboardKey]:
    """The keys of a story as a storyboard."""
    board = [one.key for one in (await plan(composer, config(**fields))).keys]
    for key in board:
        key.locked = locked
    return board


async def show(composer: Stage, board: Sequence[pb.StoryboardKey], **fields: Any) -> list[Any]:
    return list_shown(await compose_all(composer.stub, config(storyboard=board, **fields), SONG))


def name_concepts(shown: list[Any]) -> list[str]:
    return [concepts[0].name for _, _, _, concepts, _ in shown]


def key(time_s: float, *names: str, locked: bool = True, **fields: Any) -> pb.StoryboardKey:
    concepts = [NAMED(name=name, weight=1) for name in names]
    return pb.StoryboardKey(time_us=round(time_s * 1e6), concepts=concepts, locked=locked, **fields)


async def test_a_plan_has_the_keys_of_the_story_with_their_feelings_and_pictures(composer: Stage) -> None:
    answer = await plan(composer, config(style="auto", start_us=3_000_000, duration_us=1_000_000))
    keys = answer.keys
    assert [one.key.time_us for one in keys][:2] == [0, 4_000_000]  # of the whole song
    assert {8_000_000, 12_000_000, 16_000_000} <= {one.key.time_us for one in keys}
    shown = list_shown(await compose_all(composer.stub, config(style="auto"), SONG))
    for one in keys:
        frame = shown[round(one.key.time_us * 24 / 1e6)]
        assert (one.key.concepts[0].name, one.key.style) == (frame[3][0].name, frame[4][0].name)
        assert (one.expected.arousal, one.expected.valence) == (one.target.arousal, one.target.valence)
        assert (one.key.motion, one.key.locked) == (0.5, False)
        assert len(one.image) == 240 * 240 * 3  # the generator here answers with plain pixels
    assert (answer.song.duration_us, answer.song.codec, list(answer.warnings)) == (20_300_000, "fake", [])
    assert dict(answer.digests) == {"audio_sentiment": "aa", "translator": "bb", "engine": "cc", "style": "dd"}


async def test_the_picture_of_a_key_is_what_the_story_paints_then(composer: Stage) -> None:
    composer.generator.has_detail = False
    keys = (await plan(composer, config(motion=0, react=0))).keys
    frames = only(await compose_all(composer.stub, config(motion=0, react=0, paint_rate=24), SONG), "frame")
    for one in keys:
        assert one.image[:3] == frames[round(one.key.time_us * 24 / 1e6)].image[:3]


async def test_many_keys_have_smaller_pictures_that_fit_one_message(composer: Stage) -> None:
    board = [key(place / 8, "c1") for place in range(128 + 400)]
    answer = await plan(composer, config(storyboard=board, size={"width_px": 128, "height_px": 64}), pcm(67.0))
    counts: dict[tuple[int, int], int] = {}
    for call in composer.generator.calls:
        size = (call.size.width_px, call.size.height_px)
        counts[size] = counts.get(size, 0) + call.frame_count
    assert counts == {(240, 120): 128, (144, 72): 384}
    assert len(answer.keys) == 528
    assert 2.4 * 2**20 < sum(len(one.image) for one in answer.keys) <= 2.5 * 2**20


@pytest.mark.parametrize("fields", [{}, {"style": "auto", "motion": 0.2}, {"sentiment_mode": 2}])
@pytest.mark.parametrize("locked", [True, False])
async def test_a_storyboard_with_what_the_story_planned_is_the_story(
    locked: bool, fields: dict[str, Any], composer: Stage
) -> None:
    plain = list_shown(await compose_all(composer.stub, config(**fields), SONG))
    assert await show(composer, await plan_board(composer, locked=locked, **fields), **fields) == plain


async def test_a_locked_key_shows_what_is_written_and_other_locked_keys_what_they_did(composer: Stage) -> None:
    plain, board = await show(composer, []), await plan_board(composer)
    changed = next(place for place, one in enumerate(board) if one.time_us == 8_000_000)
    del board[changed].concepts[:]
    board[changed].concepts.extend([NAMED(name="c5", weight=0.5), NAMED(name="c4", weight=0.3)])
    shown = await show(composer, board)
    concepts = shown[8 * 24][3]
    assert [(one.name, one.weight) for one in concepts] == [("c5", pytest.approx(0.625)), ("c4", pytest.approx(0.375))]
    assert shown[8 * 24][2].arousal == pytest.approx(0.625 * 0.75 + 0.375 * 0.45)
    before, after = (board[changed + step].time_us * 24 // 1_000_000 for step in (-1, 1))
    assert [one[3] for one in shown[: before - 1]] == [one[3] for one in plain[: before - 1]]
    assert [one[3] for one in shown[after + 1 :]] == [one[3] for one in plain[after + 1 :]]


async def test_another_seed_keeps_locked_keys_and_plans_the_others(composer: Stage) -> None:
    board = [key(0, "c5"), key(4, locked=False), key(8, "c4"), key(12, "c5", locked=False)]
    once, again = await show(composer, board, seed=1), await show(composer, board, seed=2)
    for shown in (once, again):
        assert [name_concepts(shown)[second * 24] for second in (0, 8)] == ["c5", "c4"]
        assert name_concepts(shown)[12 * 24] != "c5"  # written, but not locked
    assert [one[0] for one in once] != [one[0] for one in again]  # another draw of what is not locked


async def test_a_key_is_where_it_is_written_and_a_picture_is_held_until_the_next(composer: Stage) -> None:
    shown = await show(composer, [key(2, "c1"), key(9.25, "c2"), key(9.5, "c3")])
    names = name_concepts(shown)
    assert (names[0], names[150], names[222], names[228], names[-1]) == ("c1", "c1", "c2", "c3", "c3")
    assert [len(one[3]) for one in (shown[0], shown[150], shown[222], shown[225], shown[228], shown[-1])] == [
        *(1, 1, 1, 2, 1, 1)
    ]
    held = await plan(composer, config(storyboard=[key(0, "c1"), key(0.5, "c2")]), pcm(30.0))
    assert (len(held.keys), list(held.warnings)) == (2, [])
    held = await plan(composer, config(storyboard=[key(0, "c1"), key(25, "c2")]), pcm(30.0))
    assert list(held.warnings) == ["1 keys are held for more than 20 s, the one at 0.000 s for 25 s"]


async def test_keys_have_styles_of_their_own_that_change_with_the_picture(composer: Stage) -> None:
    board = [key(0, "c1", style="s1"), key(6, "c2", style="none"), key(12, "c3")]
    shown = await show(composer, board)
    styles = [{one.name: round(one.weight, 3) for one in frame[4]} for frame in shown]
    assert (styles[0], styles[6 * 24], styles[12 * 24]) == ({"s1": 0.6}, {}, {})
    blended = [frame["s1"] for frame in styles if "s1" in frame]
    assert all(0 <= a - b < 0.1 for a, b in itertools.pairwise(blended))  # no jump
    assert (await show(composer, board, style="s2"))[12 * 24][4][0].name == "s2"


async def test_keys_have_motions_of_their_own_that_change_gradually(composer: Stage) -> None:
    still = await show(composer, [key(0, "c1", motion=0), key(10, "c1", motion=0)], react=0, truncation=0.01)
    board = [key(0, "c1", motion=0), key(10, "c1", motion=1)]
    moving = await show(composer, board, react=0, truncation=0.01)
    start = next(seq for seq, (one, other) in enumerate(zip(still, moving, strict=True)) if one[0] != other[0])
    assert 10 - 3 < start / 24 <= 10
    pictures = [np.frombuffer(one[0], np.uint8).astype(int) for one in moving]
    steps = [np.abs(b - a).mean() for a, b in itertools.pairwise(pictures)]
    assert max(steps[start : start + 12]) < 3 * max(steps[start + 72 :])


async def test_a_part_of_a_story_with_a_storyboard_is_that_of_the_whole(composer: Stage) -> None:
    board = [key(0, "c1"), key(7, "c4", motion=1), key(11.1, locked=False), key(15, "c2", style="s0")]
    whole = await show(composer, board)
    assert await show(composer, board, start_us=9_000_000, duration_us=4_000_000) == whole[216:312]


async def test_a_storyboard_is_resumed_stored_and_told_in_the_manifest(composer: Stage, tmp_path: Path) -> None:
    board = [key(0, "c1", "c2", motion=0.25, style="s0"), key(7.5, locked=False)]
    story = config(storyboard=board, files=[pb.STORY_FILE_KIND_MANIFEST])
    responses = await compose_all(composer.stub, story, SONG)
    digest, frames = responses[0].session_started.story_digest, only(responses, "frame")
    story.resume.story_digest, story.resume.next_seq = digest, 200
    assert only(await compose_all(composer.stub, story, SONG), "frame") == frames[200:]
    async with stage_of_passages(store=str(tmp_path), segment_s=1.0) as storing:
        stored = (await create(storing, SONG, storyboard=board)).story
        manifest = json.loads(content((await watch(storing, stored.story_id))[-1], pb.STORY_FILE_KIND_MANIFEST))
    assert manifest["frames_digest"] == only(responses, "session_end")[0].frames_digest
    assert manifest["parameters"]["storyboard"] == [
        {"time_us": 0, "concepts": {"c1": 0.5, "c2": 0.5}, "style": "s0", "motion": 0.25, "locked": True},
        {"time_us": 7_500_000, "concepts": {}, "style": "", "motion": None, "locked": False},
    ]
    assert (await compose_all(composer.stub, config(), SONG))[0].session_started.story_digest != digest


REFUSALS: list[tuple[list[pb.StoryboardKey], str, str]] = [
    (
        [key(0, "c1"), key(5, "c1"), key(4, "c1")],
        "STORYBOARD_INVALID",
        "storyboard[2] is at 4 s, less than 0.1 s after",
    ),
    ([key(0, "c1"), key(0.05, "c1")], "STORYBOARD_INVALID", "put keys in order"),
    ([key(-1, "c1")], "STORYBOARD_INVALID", "is at -1 s; choose 0 or later"),
    ([key(0, "c1"), key(20.3, "c1")], "STORYBOARD_INVALID", "storyboard[1] is at 20.3 s but the song ends at 20.300 s"),
    ([key(0)], "STORYBOARD_INVALID", "is locked and has no concept"),
    ([key(0, "c1", "c2", "c3")], "STORYBOARD_INVALID", "has 3 concepts; name 1 or 2"),
    ([key(0, "c1", "c1")], "STORYBOARD_INVALID", "names 'c1' twice"),
    ([key(0, "C1")], "CONCEPT_UNKNOWN", "names the concept 'C1'; the nearest: c1; choose what ListConcepts names"),
    ([key(0, "piano", locked=False)], "CONCEPT_UNKNOWN", "'piano'; choose what ListConcepts names"),
    ([key(0, "c1", style="s9")], "STYLE_UNKNOWN", "choose none or one of: s0, s1, s2"),
    ([key(0, "c1", style="auto")], "STYLE_UNKNOWN", "names the style 'auto'"),
    ([key(0, "c1", motion=1.5)], "MOTION_OUT_OF_RANGE", "storyboard[0] has motion 1.5; choose 0 to 1"),
    ([key(0, "c1", motion=float("nan"))], "MOTION_OUT_OF_RANGE", "choose 0 to 1"),
    ([key(place / 2, "c1") for place in range(8193)], "STORYBOARD_TOO_LARGE", "has 8193 keys; send at most 8192"),
    ([key(place, "c" * 20_000) for place in range(60)], "STORYBOARD_TOO_LARGE", "bytes; send at most 1048576"),
]


@pytest.mark.parametrize(("board", "reason", "words"), REFUSALS)
async def test_what_cannot_be_shown_is_refused_with_rule_value_and_way_out(
    board: list[pb.StoryboardKey], reason: str, words: str, composer: Stage
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await plan(composer, config(storyboard=board))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert words in str(caught.value.details())
    requests = iter([pb.ComposeRequest(config=config(storyboard=board)), pb.ComposeRequest(audio_chunk=SONG[:60_000])])
    if reason != "STORYBOARD_INVALID" or "ends at" not in words:
        answer = await expect_refusal(composer.stub.Compose(requests))
        assert answer[:2] == (grpc.StatusCode.INVALID_ARGUMENT, reason)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), float("inf")])
async def test_shares_lie_between_0_and_1(share: float, composer: Stage) -> None:
    board = [pb.StoryboardKey(concepts=[NAMED(name="c1", weight=share), NAMED(name="c2", weight=1)], locked=True)]
    with pytest.raises(grpc.aio.AioRpcError, match="gives 'c1' the share"):
        await plan(composer, config(storyboard=board))
    board[0].concepts[0].weight, board[0].concepts[1].weight = 0, 0
    with pytest.raises(grpc.aio.AioRpcError, match="gives its concepts no share"):
        await plan(composer, config(storyboard=board))


async def test_live_stories_have_no_storyboard_and_no_plan(composer: Stage) -> None:
    live = config(pacing=pb.PACING_LIVE)
    with pytest.raises(grpc.aio.AioRpcError, match="leave live pacing out"):
        await plan(composer, live)
    live.storyboard.append(key(0, "c1"))
    requests = iter([pb.ComposeRequest(config=live)])
    answer = await expect_refusal(composer.stub.Compose(requests))
    assert answer[1:] == ("STORYBOARD_INVALID", "a storyboard needs the whole song; leave it out for live pacing")


async def test_a_plan_counts_as_a_session() -> None:
    async with stage(max_sessions=0) as composer:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await plan(composer, config())
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
