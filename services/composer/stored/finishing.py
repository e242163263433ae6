"""The four files of a stored story, once all its frames are there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from deepsing.v1 import audio_sentiment_pb2
from deepsing.v1 import composer_pb2 as pb
from services.composer.ending import manifest_facts, session_end
from services.composer.files import NAMES
from services.composer.stored.record import File
from services.composer.video import join

if TYPE_CHECKING:
    from services.composer.stored.telling import Telling

__all__ = ["finished_files"]


def finished_files(telling: Telling, painted: pb.SessionEnd) -> list[tuple[File, Path]]:
    """Makes the files; blocks.

    Args:
        telling: has taken in all frames.
        painted: end of the session that painted the last of them.

    Returns:
        The files in the order of the plan, without the names of their objects, and where each lies.
    """
    plan, files = telling.plan, telling.files
    summary = None
    if painted.HasField("song"):
        digest = painted.digests["audio_sentiment"]
        summary = audio_sentiment_pb2.AnalyzeSummary(song=painted.song, model_digest=digest)
    end = session_end(plan, telling.palette, summary, telling.agreement, telling.reader, painted.frame_count)
    end.song_digest, end.flashes_per_second = painted.song_digest, telling.flashes
    end.frames_digest = files.frames_hash.hexdigest()
    facts = manifest_facts(plan, telling.size, end, telling.reader.readings, telling.lease.record.story_id)
    paths = dict(files.finish(facts, telling.reader.readings, end))
    video = telling.folder / NAMES[pb.STORY_FILE_KIND_VIDEO]
    join(telling.videos, telling.folder / "sound.m4a", video, plan.rate, plan.title)
    paths[pb.STORY_FILE_KIND_VIDEO] = video
    return [(_described(kind, paths[kind]), paths[kind]) for kind in plan.files]


def _described(kind: pb.StoryFileKind.ValueType, path: Path) -> File:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return File("", kind, path.stat().st_size, digest)
