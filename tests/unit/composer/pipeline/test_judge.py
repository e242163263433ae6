"""Judgements: which frames are judged, how the story waits for them, and what its end reports about them."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from deepsing.v1 import composer_pb2 as pb
from deepsing.v1 import sentiment_pb2
from services.composer.pipeline.judge import BACKLOG, LIVE_BACKLOG, JudgeClient
from services.composer.pipeline.task import StoryTask
from services.composer.session.config import parse_config
from services.composer.story.frame import FrameInfo
from services.composer.story.judge_sampling import Judgement, JudgeSampler, agreements, encode_excerpt
from tests.unit.composer.fakes import Stage, config, stage, upload
from tests.unit.composer.session.test_session import SONG, compose_all, only


@pytest.fixture
async def composer() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


def frame_info(seq: int, target: tuple[float, float] = (0.0, 0.0)) -> FrameInfo:
    return FrameInfo(seq, seq / 24, target, target, (("c1", 0.8), ("c0", 0.2)), ())


@pytest.mark.parametrize(
    ("every_s", "rate", "first"),
    [
        (1.0, Fraction(24), [0, 24, 48, 72]),
        (0.5, Fraction(24), [0, 12, 24, 36]),
        (1.0, Fraction(30000, 1001), [0, 30, 60, 90]),
        (0.1, Fraction(24), [0, 3, 5, 8]),  # 0, 2.4, 4.8, 7.2
        (0.01, Fraction(24), [0, 1, 2, 3]),
        (10.0, Fraction(1), [0, 10, 20, 30]),
        (0.0, Fraction(24), []),
    ],
)
def test_frames_are_read_at_even_times(every_s: float, rate: Fraction, first: list[int]) -> None:
    sampler = JudgeSampler(every_s, rate)
    assert [seq for seq in range(100) if sampler.selects(seq)][:4] == first


@pytest.mark.parametrize("size", [(1080, 1920), (256, 256), (64, 64), (90, 400)])
def test_the_judge_sees_the_centre_square_as_a_small_jpeg(size: tuple[int, int]) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    picture[:, size[1] // 2 - 5 : size[1] // 2 + 5] = (0, 200, 0)
    with Image.open(BytesIO(encode_excerpt(picture))) as seen:
        assert (seen.format, seen.size) == ("JPEG", (256, 256))
        assert np.abs(np.asarray(seen)[128, 128].astype(int) - (0, 200, 0)).max() < 8


def test_targets_are_compared_with_what_was_read_off() -> None:
    pairs = [((0.1, 0.5), (0.0, -0.5)), ((0.2, 0.4), (0.2, -0.4)), ((0.3, 0.3), (0.4, -0.3))]
    arousal, valence = agreements([Judgement(frame_info(0, target), achieved) for target, achieved in pairs])
    assert (arousal.r, arousal.n) == (pytest.approx(1), 3)
    assert arousal.rmse == pytest.approx((0.02 / 3) ** 0.5)
    assert valence.r == pytest.approx(-1)


@pytest.mark.parametrize(("pacing", "room"), [(pb.PACING_LIVE, LIVE_BACKLOG), (pb.PACING_OFFLINE, BACKLOG)])
async def test_pictures_without_room_are_missed_and_counted(pacing: int, room: int) -> None:
    capabilities = SimpleNamespace(concepts=("c0", "c1"))
    task: Any = StoryTask(parse_config(config(pacing=pacing)), capabilities, "s")  # type: ignore[arg-type]
    nobody: Any = None
    judge_client = JudgeClient(task, nobody, 1.0, nobody)
    for seq in range(room + 3):
        judge_client.offer(b"picture", frame_info(seq))
    assert judge_client.missed_count == room + 3
    assert judge_client.warnings == (f"{room + 3} of {room + 3} pictures were not read: the judge is too slow",)
    assert len(judge_client._waiting) == room


async def test_a_story_ends_with_what_the_judge_read_and_the_manifest_says_the_same(composer: Stage) -> None:
    responses = await compose_all(composer.stub, config(files=[pb.STORY_FILE_KIND_MANIFEST]))
    end = only(responses, "session_end")[0]
    manifest = json.loads(b"".join(piece.data for piece in only(responses, "story_file_chunk")))
    assert end.achieved.arousal.n == end.achieved.valence.n == 7  # 6.3 s, one a second
    assert (end.arousal.n, end.achieved.missed_count, list(end.warnings)) == (151, 0, [])
    assert (end.achieved.judge.digest, end.achieved.judge.arousal.n) == ("ee", 900)
    assert (end.rated_by, manifest["rated_by"]) == (sentiment_pb2.RATING_SOURCE_PEOPLE, "people")
    assert (manifest["frame_count"], manifest["duration_us"], manifest["manifest_version"]) == (151, 6_291_667, 2)
    assert (manifest["parameters"]["engine"], manifest["parameters"]["translator"]) == ("fake", "dictionary")
    assert end.achieved.judge.valence.r == pytest.approx(0.6)
    readings = manifest["readings"]
    assert [one["seq"] for one in readings] == list(range(0, 151, 24))
    targets, read = np.array([one["target"] for one in readings]), np.array([one["achieved"] for one in readings])
    for axis, name in enumerate(("arousal", "valence")):
        said = getattr(end.achieved, name)
        assert said.r == pytest.approx(np.corrcoef(targets[:, axis], read[:, axis])[0, 1], abs=1e-3)
        assert said.rmse == pytest.approx(np.sqrt(np.square(targets[:, axis] - read[:, axis]).mean()), abs=1e-4)
        assert manifest["achieved"][name]["r"] == pytest.approx(said.r, abs=1e-6)
    frames = {frame["seq"]: frame for frame in manifest["frames"]}
    assert all(frames[one["seq"]]["target"] == one["target"] for one in readings)
    assert manifest["achieved"]["judge"]["digest"] == "ee"


async def test_the_judge_gets_a_pictures_concepts_the_heaviest_first(composer: Stage) -> None:
    frames = only(await compose_all(composer.stub, config(engine="fake")), "frame")
    asked = [picture for request in composer.translator.reads for picture in request.pictures]
    named = [[int(one.name.removeprefix("c")) for one in frames[24 * k].concepts] for k in range(7)]
    assert [list(picture.concepts) for picture in asked] == named
    assert {request.engine for request in composer.translator.reads} == {"fake"}


async def test_readings_are_sent_where_they_are_asked_for(composer: Stage) -> None:
    assert only(await compose_all(composer.stub, config()), "achieved_point") == []
    responses = await compose_all(composer.stub, config(send_achieved=True))
    points, frames = only(responses, "achieved_point"), {frame.seq: frame for frame in only(responses, "frame")}
    assert [point.seq for point in points] == list(range(0, 151, 24))
    assert [point.pts_us for point in points] == [k * 1_000_000 for k in range(7)]
    assert all(point.target == frames[point.seq].target for point in points)
    assert all(-1 <= point.achieved.arousal == -point.achieved.valence for point in points)
    assert responses[-1].HasField("session_end")
    plain = only(await compose_all(composer.stub, config()), "session_end")[0]
    assert only(responses, "session_end")[0].frames_digest == plain.frames_digest


@pytest.mark.parametrize("code", ["UNIMPLEMENTED", "FAILED_PRECONDITION", "INTERNAL", "INVALID_ARGUMENT"])
async def test_a_judge_that_is_missing_or_fails_leaves_a_whole_story_with_a_warning(composer: Stage, code: str) -> None:
    whole = only(await compose_all(composer.stub, config()), "session_end")[0]
    composer.translator.judge_error = grpc.StatusCode[code]
    responses = await compose_all(composer.stub, config(files=[1, 2, 3, 4]))
    end = only(responses, "session_end")[0]
    assert end.frames_digest == whole.frames_digest
    assert not end.HasField("achieved")
    assert len(end.warnings) == 1
    said = "does not answer" if code == "INTERNAL" else "failed"  # INTERNAL without a reason may be a broken connection
    assert end.warnings[0].startswith(f"7 of 7 pictures were not read: translator {said}")
    pieces = only(responses, "story_file_chunk")
    manifest = json.loads(b"".join(piece.data for piece in pieces if piece.kind == pb.STORY_FILE_KIND_MANIFEST))
    assert (manifest["readings"], manifest["warnings"]) == ([], list(end.warnings))
    assert "achieved" not in manifest
    assert {piece.kind for piece in pieces if piece.last} == {1, 2, 3, 4}


async def test_readings_that_are_not_finite_are_not_used(composer: Stage) -> None:
    composer.translator.unreadable = True
    end = only(await compose_all(composer.stub, config()), "session_end")[0]
    assert not end.HasField("achieved")
    assert "not finite" in end.warnings[0]


async def test_frames_do_not_wait_for_the_judge_and_the_end_waits_only_so_long() -> None:
    async with stage(judge_wait_s=0.05) as composer:
        composer.translator.judge_release = asyncio.Event()
        responses = await compose_all(composer.stub, config())
        end = only(responses, "session_end")[0]
        assert len(only(responses, "frame")) == 151
        assert not end.HasField("achieved")
        assert list(end.warnings) == ["7 of 7 pictures were not read: the judge is too slow"]
        composer.translator.judge_release.set()


async def test_the_last_readings_are_waited_for(composer: Stage) -> None:
    composer.translator.judge_release = held = asyncio.Event()
    frames = 0
    async for response in composer.stub.Compose(upload(config(), SONG)):
        frames += response.HasField("frame")
        if frames == 151:
            held.set()
        if response.HasField("session_end"):
            assert response.session_end.achieved.arousal.n == 7


async def test_a_judge_that_is_switched_off_is_not_asked_and_not_missed() -> None:
    async with stage(judge_every_s=0.0) as composer:
        end = only(await compose_all(composer.stub, config()), "session_end")[0]
        assert composer.translator.reads == []
        assert not end.HasField("achieved")
        assert list(end.warnings) == []


async def test_a_resumed_story_has_the_readings_of_its_own_frames(composer: Stage) -> None:
    responses = await compose_all(composer.stub, config(send_achieved=True))
    digest, whole = responses[0].session_started.story_digest, only(responses, "achieved_point")
    point = pb.ResumePoint(story_digest=digest, next_seq=50)
    resumed = await compose_all(composer.stub, config(send_achieved=True, resume=point))
    assert only(resumed, "achieved_point") == [one for one in whole if one.seq >= 50]
    assert only(resumed, "session_end")[0].achieved.arousal.n == 4
    point.next_seq = 151
    over = only(await compose_all(composer.stub, config(resume=point)), "session_end")[0]
    assert not over.HasField("achieved")
    assert list(over.warnings) == []


async def test_wide_pictures_go_to_the_judge_small(composer: Stage) -> None:
    await compose_all(composer.stub, config(size=sentiment_pb2.Size(width_px=640, height_px=360)))
    assert max(len(one.image) for request in composer.translator.reads for one in request.pictures) < 8192


async def test_a_live_story_is_read_too() -> None:
    async with stage(live_late_s=60.0) as composer:  # so that no frame is late, even on a slow machine
        end = only(await compose_all(composer.stub, config(pacing=pb.PACING_LIVE)), "session_end")[0]
    assert end.achieved.arousal.n + end.achieved.missed_count == 7
    assert end.achieved.arousal.n >= 1


async def test_frames_leave_before_the_judge_has_its_excerpts(monkeypatch: pytest.MonkeyPatch) -> None:
    may_encode = threading.Event()

    def encode_later(picture: np.ndarray) -> bytes:
        may_encode.wait()
        return encode_excerpt(picture)

    monkeypatch.setattr("services.composer.pipeline.pipeline.encode_excerpt", encode_later)
    async with stage(live_late_s=60.0) as composer:
        call = composer.stub.Compose(upload(config(pacing=pb.PACING_LIVE), SONG))
        try:
            async with asyncio.timeout(20):
                frame = await anext(response.frame async for response in call if response.HasField("frame"))
        finally:
            may_encode.set()
        end = only([response async for response in call], "session_end")[0]
    assert (frame.seq, end.achieved.arousal.n) == (0, 7)


async def test_frames_do_not_wait_for_threads_that_others_keep_busy() -> None:
    threads, may_end = ThreadPoolExecutor(1), threading.Event()
    asyncio.get_running_loop().set_default_executor(threads)
    async with stage(live_late_s=60.0) as composer:
        threads.submit(may_end.wait)
        call, seqs = composer.stub.Compose(upload(config(pacing=pb.PACING_LIVE), SONG)), []
        try:
            async with asyncio.timeout(20):
                async for response in call:
                    if response.HasField("frame"):
                        seqs.append(response.frame.seq)
                    elif response.HasField("session_end"):
                        break
        finally:
            may_end.set()
    assert seqs == list(range(151))
    assert response.session_end.achieved.arousal.n == 7
