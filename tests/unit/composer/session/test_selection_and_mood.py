"""Stories of some concepts only, and with a mood: live, resumed, and beside those without."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest

from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2
from tests.unit.composer.fakes import Stage, config, stage, upload
from tests.unit.composer.session.test_session import SONG, compose_all, expect_refusal, only

THEMES = {0: ("sea",), 1: ("sea",), 2: ("sea", "night"), 4: ("fire",)}


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage(live_late_s=60.0) as running:
        running.generator.themes = dict(THEMES)
        yield running


def read_shown(responses: list[pb.ComposeResponse]) -> set[str]:
    return {one.name for frame in only(responses, "frame") for one in frame.concepts}


def read_pairs(sentiments: list[Any]) -> np.ndarray:
    return np.array([(one.arousal, one.valence) for one in sentiments])


async def read_manifest(composer: Stage, **fields: Any) -> Any:
    answers = await compose_all(composer.stub, config(files=[pb.STORY_FILE_KIND_MANIFEST], **fields))
    return json.loads(b"".join(piece.data for piece in only(answers, "story_file_chunk")))


@pytest.mark.parametrize("pacing", [pb.PACING_OFFLINE, pb.PACING_LIVE])
async def test_only_what_was_chosen_is_shown(composer: Stage, pacing: int) -> None:
    composer.generator.themes = {3: ("sea",), 4: ("sea",), 2: ("sea", "night"), 0: ("fire",)}
    responses = await compose_all(composer.stub, config(themes=["Sea"], only=["c5"], without=["night"], pacing=pacing))
    assert {"c3", "c4"} <= read_shown(responses) <= {"c3", "c4", "c5"}
    assert {tuple(request.allowed_concepts) for request in composer.translator.asked} == {(3, 4, 5)}
    weights = [np.array(call.class_weights).reshape(call.frame_count, -1) for call in composer.generator.calls]
    assert (np.concatenate(weights)[:, [0, 1, 2]] == 0).all()


async def test_a_story_without_a_choice_asks_for_none_and_shows_all(composer: Stage) -> None:
    responses = await compose_all(composer.stub, config())
    assert {"c0", "c1"} <= read_shown(responses) <= {"c0", "c1", "c2", "c3"}
    assert {tuple(request.allowed_concepts) for request in composer.translator.asked} == {()}
    assert list(only(responses, "session_end")[0].warnings) == []


async def test_a_choice_makes_another_story_digest_and_a_resumed_one_goes_on_with_equal_bytes(composer: Stage) -> None:
    asked: dict[str, Any] = {"without": ["c1"], "mood": pb.Mood(arousal=-0.25, valence=0.5)}
    plain, whole = [await compose_all(composer.stub, config(**fields)) for fields in ({}, asked)]
    digest = whole[0].session_started.story_digest
    assert digest != plain[0].session_started.story_digest
    images = [frame.image for frame in only(whole, "frame")]
    resume = pb.ResumePoint(story_digest=digest, next_seq=60)
    again = only(await compose_all(composer.stub, config(resume=resume, **asked)), "frame")
    assert [frame.image for frame in again] == images[60:]
    assert again[0].target == only(whole, "frame")[60].target
    code, reason, _ = await expect_refusal(composer.stub.Compose(upload(config(resume=resume), SONG)))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESUME_MISMATCH")


async def test_a_choice_with_nothing_for_a_feeling_is_told_in_the_warnings(composer: Stage) -> None:
    end = only(await compose_all(composer.stub, config(only=["c0", "c1", "c2"])), "session_end")[0]
    assert list(end.warnings) == [
        "nothing of what may be shown feels tense (excited and unpleasant); the nearest, 'c2' (arousal -0.15, "
        "valence 0.15), is shown instead"
    ]


@pytest.mark.parametrize(
    ("chosen", "rated_by"),
    [
        (["c0", "c1", "c2"], sentiment_pb2.RATING_SOURCE_PEOPLE),
        (["c3", "c4", "c5"], sentiment_pb2.RATING_SOURCE_MODEL),
        (["c0", "c1", "c4"], sentiment_pb2.RATING_SOURCE_MIXED),
        ([], sentiment_pb2.RATING_SOURCE_MIXED),
    ],
)
async def test_the_end_says_who_rated_what_may_be_shown(composer: Stage, chosen: list[str], rated_by: int) -> None:
    people, model = sentiment_pb2.RATING_SOURCE_PEOPLE, sentiment_pb2.RATING_SOURCE_MODEL
    composer.generator.rated_by = sentiment_pb2.RATING_SOURCE_MIXED
    composer.generator.raters = {number: people if number < 3 else model for number in range(6)}
    assert only(await compose_all(composer.stub, config(only=chosen)), "session_end")[0].rated_by == rated_by


async def test_a_translator_of_an_older_release_is_not_believed(composer: Stage) -> None:
    composer.translator.obeys = False
    code, reason, _ = await expect_refusal(composer.stub.Compose(upload(config(only=["c3", "c4", "c5"]), SONG)))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert only(await compose_all(composer.stub, config()), "session_end")[0].frame_count == 151


@pytest.mark.parametrize("pacing", [pb.PACING_OFFLINE, pb.PACING_LIVE])
async def test_a_mood_shifts_targets_and_what_is_asked_of_the_translator_and_nothing_else(
    composer: Stage, pacing: int
) -> None:
    plain = await compose_all(composer.stub, config(pacing=pacing, motion=0, react=0))
    asked = read_pairs([request.sentiments[0] for request in composer.translator.asked])
    composer.translator.asked.clear()
    mood = pb.Mood(arousal=-0.25, valence=-0.125)
    moody = await compose_all(composer.stub, config(pacing=pacing, motion=0, react=0, mood=mood))
    for before, after in (
        (read_pairs([frame.target for frame in only(story, "frame")]) for story in (plain, moody)),
        (asked, read_pairs([request.sentiments[0] for request in composer.translator.asked])),
    ):
        assert before.min() > -0.7  # so that nothing is cut
        assert after == pytest.approx(before - np.array([0.25, 0.125]), abs=1e-6)
    assert [one.sentiment for one in only(plain, "affect_point")] == [
        one.sentiment for one in only(moody, "affect_point")
    ]
    assert [frame.image for frame in only(plain, "frame")] == [frame.image for frame in only(moody, "frame")]


async def test_a_calmer_mood_calms_the_camera(composer: Stage) -> None:
    composer.generator.has_detail = True
    images = [
        [frame.image for frame in only(await compose_all(composer.stub, config(motion=1, mood=mood)), "frame")]
        for mood in (None, pb.Mood(arousal=-1), pb.Mood(valence=-0.5))
    ]
    assert images[0] != images[1]
    assert images[0] == images[2]


async def test_the_manifest_tells_the_shift_and_the_songs_own_sentiment(composer: Stage) -> None:
    mood = pb.Mood(arousal=0.3, valence=-1)
    plain, moody = await read_manifest(composer), await read_manifest(composer, mood=mood, only=["sea"], without=["c5"])
    chosen = {name: moody["parameters"][name] for name in ("themes", "only", "without", "mood")}
    assert chosen == {"themes": [], "only": ["sea"], "without": ["c5"], "mood": [0.3, -1.0]}
    assert plain["parameters"]["mood"] == [0.0, 0.0]
    assert all("song" not in frame for frame in plain["frames"])
    assert [frame["song"] for frame in moody["frames"]] == [frame["target"] for frame in plain["frames"]]
    shifted = np.array([frame["song"] for frame in moody["frames"]]) + np.array([0.3, -1.0])
    assert np.array([frame["target"] for frame in moody["frames"]]) == pytest.approx(shifted.clip(-1, 1), abs=2e-5)
    assert moody["passages"] == plain["passages"]


async def test_agreement_is_with_the_shifted_targets(composer: Stage) -> None:
    end = only(await compose_all(composer.stub, config(mood=pb.Mood(arousal=-0.25, valence=-0.125))), "session_end")[0]
    plain = only(await compose_all(composer.stub, config()), "session_end")[0]
    for axis in ("arousal", "valence"):  # the fake translator expects of its pictures what it is asked for
        assert getattr(end, axis).r == pytest.approx(getattr(plain, axis).r, abs=1e-5)
        assert getattr(end, axis).rmse == pytest.approx(getattr(plain, axis).rmse, abs=1e-5)


@pytest.mark.parametrize(
    ("fields", "reason", "said"),
    [
        ({"themes": ["x"] * 1025}, "SELECTION_TOO_LONG", "themes has 1025 names; list at most 1024"),
        ({"only": ["é" * 201]}, "SELECTION_TOO_LONG", "a name in only has 201 characters; send at most 200"),
        ({"without": ["x" * 201]}, "SELECTION_TOO_LONG", "a name in without has 201 characters; send at most 200"),
        ({"mood": pb.Mood(valence=float("nan"))}, "MOOD_OUT_OF_RANGE", "mood.valence is nan; choose -1 to 1"),
        ({"mood": pb.Mood(arousal=-1.5)}, "MOOD_OUT_OF_RANGE", "mood.arousal is -1.5; choose -1 to 1"),
        ({"themes": ["see"]}, "THEME_UNKNOWN", "theme is 'see'; the nearest: sea; choose one of: fire, night, sea"),
    ],
)
async def test_what_breaks_a_rule_is_refused(composer: Stage, fields: Any, reason: str, said: str) -> None:
    code, given, message = await expect_refusal(composer.stub.Compose(upload(config(**fields), SONG)))
    assert (code, given, message) == (grpc.StatusCode.INVALID_ARGUMENT, reason, said)
