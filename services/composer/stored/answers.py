"""A stored story as its caller sees it."""

from __future__ import annotations

import time

from deepsing.v1 import composer_pb2 as pb
from services.composer.session.config import FILE_KINDS
from services.composer.stored.lease import AsyncStore
from services.composer.stored.record import Record

__all__ = ["build_story", "build_linked_story"]


def build_story(record: Record) -> pb.Story:
    """A story without its files."""
    left = record.frames_total - record.frames_done
    known = record.state == "RUNNING" and record.frames_total and record.frames_per_s
    story = pb.Story(
        story_id=record.story_id,
        state=pb.StoryState.Value(f"STORY_STATE_{record.state}"),
        frames_done=record.frames_done,
        frames_total=record.frames_total,
        remaining_us=round(left / record.frames_per_s * 1e6) if known else -1,
        create_time_us=round(record.created_s * 1e6),
        end_time_us=round(record.ended_s * 1e6),
        expire_time_us=round(record.expires_s * 1e6),
        title=pb.StoryConfig.FromString(record.config).title,
        attempt=record.epoch,
    )
    if record.error:
        story.error.code, story.error.reason, story.error.message = record.error
    return story


async def build_linked_story(record: Record, store: AsyncStore, link_s: int) -> pb.Story:
    """A story with its files, and where each can be fetched for `link_s`. Raises StoreError."""
    story = build_story(record)
    for file in record.files:
        kind = pb.StoryFileKind.ValueType(file.kind)
        until_us = round((time.time() + link_s) * 1e6)
        url = await store.call(store.blocking.link, file.name, FILE_KINDS[kind], link_s)
        story.files.add(
            kind=kind,
            byte_count=file.byte_count,
            digest=file.digest,
            url=url,
            expire_time_us=0 if url.startswith("file:") else until_us,
        )
    return story
