"""A composer falls silent, another one goes on; the silent one comes back and can spoil nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deepsing.v1 import composer_pb2 as pb
from services.composer.stored.store import StoreError
from tests.unit.composer.fakes import pcm, stage
from tests.unit.composer.stored.calls import create, watched

LONG = pcm(8.0)
QUICK: dict[str, Any] = {"segment_s": 1.0, "lease_s": 1.0}


class Away:
    """A store that nobody reaches."""

    def __getattr__(self, name: str) -> Any:
        raise StoreError("away")


async def test_the_story_of_a_lost_composer_has_the_same_bytes_as_an_undisturbed_one(tmp_path: Path) -> None:
    async with stage(store=str(tmp_path / "a"), **QUICK) as undisturbed:
        story_id = (await create(undisturbed, LONG)).story.story_id
        expected = (await watched(undisturbed, story_id))[-1]
    shared = str(tmp_path / "b")
    async with stage(store=shared, **QUICK) as first:
        first.generator.most_calls = 12
        assert (await create(first, LONG)).story.story_id == story_id
        await first.generator.stuck.wait()
        async with stage(store=shared, **QUICK) as second:
            first.servicer.worker.shelf.store = Away()
            states = await watched(second, story_id)
            painted = sum(call.frame_count for call in second.generator.calls)
    told = states[-1]
    assert told.state == expected.state == pb.STORY_STATE_SUCCEEDED
    assert told.attempt == 2
    assert painted < 192
    assert [file.digest for file in told.files] == [file.digest for file in expected.files]
