"""Stories that are told while nobody waits: made once, watched, listed, cancelled, refused."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path

import av

from deepsing.v1 import composer_pb2 as pb
from tests.unit.composer.fakes import config, stage
from tests.unit.composer.fakes import upload as compose_upload
from tests.unit.composer.stored.calls import SONG, content, create, watched


async def test_a_story_is_told_to_its_end_and_its_files_are_those_of_its_frames(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path), segment_s=1.0) as on:
        made = await create(on, title="A tone")
        assert made.story.state == pb.STORY_STATE_QUEUED
        assert not made.existed
        story = (await watched(on, made.story.story_id))[-1]
        told = [one async for one in on.stub.Compose(compose_upload(config(), SONG))]
    assert story.state == pb.STORY_STATE_SUCCEEDED, story.error
    assert (story.frames_done, story.frames_total, story.attempt, story.title) == (72, 72, 1, "A tone")
    assert [file.kind for file in story.files] == [1, 2, 3, 4]
    for file in story.files:
        assert (file.byte_count, file.digest) == (
            len(content(story, file.kind)),
            hashlib.sha256(content(story, file.kind)).hexdigest(),
        )
    manifest = json.loads(content(story, pb.STORY_FILE_KIND_MANIFEST))
    assert manifest["frames_digest"] == told[-1].session_end.frames_digest
    assert [frame["seq"] for frame in manifest["frames"]] == list(range(72))
    assert len(manifest["readings"]) == 3
    with av.open(BytesIO(content(story, pb.STORY_FILE_KIND_VIDEO))) as video:
        times = [round(frame.time * 24) for frame in video.decode(video=0)]
    assert times == list(range(72))
