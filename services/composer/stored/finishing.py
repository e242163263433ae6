"""The four files of a stored story, once all its frames are there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from deepsing.v1 import audio_sentiment_pb2
from deepsing.v1 import composer_pb2 as pb
from services.composer.output.files import NAMES
from services.composer.output.summary import build_manifest_facts, build_session_end
from services.composer.output.video import join_videos
from services.composer.stored.record import File

if TYPE_CHECKING:
    from services.composer.stored.job import StoryJob

__all__ = ["build_files"]


def build_files(job: StoryJob, painted: pb.SessionEnd) -> list[tuple[File, Path]]:
    """Makes the files; blocks.

    Args:
        job: has taken in all frames.
        painted: end of the session that painted the last of them.

    Returns:
        The files in the order of the plan, without the names of their objects, and where each lies.
    """
    plan, files = job.plan, job.files
    summary = None
    if painted.HasField("song"):
        digest = painted.digests["audio_sentiment"]
        summary = audio_sentiment_pb2.AnalyzeSummary(song=painted.song, model_digest=digest)
    end = build_session_end(plan, job.capabilities, summary, job.agreement, job.judge_client, painted.frame_count)
    end.song_digest, end.flashes_per_second = painted.song_digest, job.flashes
    end.frames_digest = files.frames_hash.hexdigest()
    facts = build_manifest_facts(plan, job.size, end, job.judge_client.judgements, job.lease.record.story_id)
    paths = dict(files.finish(facts, job.judge_client.judgements, end))
    video = job.folder / NAMES[pb.STORY_FILE_KIND_VIDEO]
    join_videos(job.videos, job.folder / "sound.m4a", video, plan.rate, plan.title)
    paths[pb.STORY_FILE_KIND_VIDEO] = video
    return [(_describe_file(kind, paths[kind]), paths[kind]) for kind in plan.files]


def _describe_file(kind: pb.StoryFileKind.ValueType, path: Path) -> File:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return File("", kind, path.stat().st_size, digest)
