"""Stories of songs with passages and beats, over real ports with fakes of the other services."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from deepsing.v1 import audio_sentiment_pb2
from deepsing.v1 import composer_pb2 as pb
from tests.unit.composer.fakes import Stage, config, pcm, stage
from tests.unit.composer.session.test_session import compose_all, only
from tests.unit.composer.stored.calls import create, watch
from tests.unit.composer.stored.test_stories import cut_off_store

SONG, FORM = pcm(12.0), (0, 1, 0)  # A B A, 4 s each


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage() as running:
        running.audio.form = FORM
        yield running


def read_manifest(responses: list[pb.ComposeResponse]) -> dict[str, Any]:
    chunks = only(responses, "story_file_chunk")
    manifest: dict[str, Any] = json.loads(b"".join(chunk.data for chunk in chunks))
    return manifest


async def test_a_section_that_comes_back_shows_its_pictures_again(composer: Stage) -> None:
    frames = only(await compose_all(composer.stub, config(), SONG), "frame")
    concepts = [frame.concepts[0].name for frame in frames]
    assert (concepts[0], concepts[4 * 24], concepts[8 * 24]) == ("c0", "c1", "c0")


async def test_points_are_relayed_with_passage_section_certainty_and_rhythm(composer: Stage) -> None:
    points = only(await compose_all(composer.stub, config(), SONG), "affect_point")
    assert [(point.passage, point.section) for point in points[::8]] == [(0, 0), (1, 1), (2, 0)]
    assert (points[3].certainty.arousal, points[3].certainty.valence) == (pytest.approx(0.9), 0.75)
    beat = points[9].rhythm.beats[0]
    assert (beat.time_us, beat.position, beat.certainty) == (4_500_000, 2, pytest.approx(0.8))
    assert points[9].rhythm.low_onsets == b"\xff" + bytes(49)
    assert points[9].rhythm.tempo.beats_per_minute == 120


async def test_beats_of_a_part_count_from_its_start_and_its_passages_keep_their_letters(composer: Stage) -> None:
    part = config(start_us=6_000_000, files=[pb.STORY_FILE_KIND_MANIFEST])
    responses = await compose_all(composer.stub, part, SONG)
    points, manifest = only(responses, "affect_point"), read_manifest(responses)
    assert [point.rhythm.beats[0].time_us for point in points] == [place * 500_000 for place in range(12)]
    assert (manifest["beats"][0], manifest["beats"][3]) == ([0.0, 1], [1.5, 4])
    assert [(one["start_s"], one["section"]) for one in manifest["passages"]] == [(0.0, "B"), (2.0, "A")]
    assert manifest["tempo"] == {"beats_per_minute": 120.0, "beats_per_bar": 4, "certainty": 0.7}
    end = only(responses, "session_end")[0]
    assert (list(end.sections), end.tempo.beats_per_minute, end.tempo.beats_per_bar) == (["B", "A"], 120.0, 4)
    assert end.tempo.certainty == pytest.approx(0.7)


async def test_a_song_without_rhythm_has_one_passage_and_no_tempo(composer: Stage) -> None:
    composer.audio.form = ()
    responses = await compose_all(composer.stub, config(files=[pb.STORY_FILE_KIND_MANIFEST]), SONG)
    manifest = read_manifest(responses)
    assert (len(manifest["passages"]), manifest["beats"], manifest["tempo"]) == (1, [], None)
    assert not any(point.HasField("rhythm") for point in only(responses, "affect_point"))
    end = only(responses, "session_end")[0]
    assert (list(end.sections), end.HasField("tempo")) == (["A"], False)


async def test_offline_hears_whole_and_live_hears_live(composer: Stage) -> None:
    await compose_all(composer.stub, config(), SONG)
    await compose_all(composer.stub, config(pacing=pb.PACING_LIVE), SONG)
    heard = [one.hearing for one in composer.audio.configs]
    assert heard == [audio_sentiment_pb2.HEARING_WHOLE, audio_sentiment_pb2.HEARING_LIVE]


async def test_a_resumed_story_with_passages_has_the_frames_of_an_uninterrupted_one(composer: Stage) -> None:
    responses = await compose_all(composer.stub, config(), SONG)
    frames, started = only(responses, "frame"), only(responses, "session_started")[0]
    for first in (97, 193):
        resume = pb.ResumePoint(next_seq=first, story_digest=started.story_digest)
        resumed = only(await compose_all(composer.stub, config(resume=resume), SONG), "frame")
        assert [frame.image for frame in resumed] == [frame.image for frame in frames[first:]]
        assert resumed == frames[first:]


async def test_a_stored_story_with_passages_has_the_same_bytes_after_its_composer_was_lost(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"segment_s": 1.0, "lease_s": 1.0}
    async with stage(store=str(tmp_path / "a"), **quick) as undisturbed:
        undisturbed.audio.form = FORM
        story_id = (await create(undisturbed, SONG)).story.story_id
        expected = (await watch(undisturbed, story_id))[-1]
    shared = str(tmp_path / "b")
    async with stage(store=shared, **quick) as first, stage(store=shared, **quick, stories_running=0) as second:
        first.audio.form = second.audio.form = FORM
        first.generator.most_calls = 28
        assert (await create(first, SONG)).story.story_id == story_id
        await first.generator.stuck.wait()
        cut_off_store(first)
        second.servicer.stories.worker.settings = first.servicer.settings
        story = (await watch(second, story_id))[-1]
    assert (story.state, story.attempt) == (pb.STORY_STATE_SUCCEEDED, 2)
    assert [file.digest for file in story.files] == [file.digest for file in expected.files]
