"""Creating a story while another writer creates it, too."""

from pathlib import Path

import pytest

from services.composer.stored.folder import FolderStore
from services.composer.stored.store import VersionConflict
from tests.unit.composer.fakes import stage
from tests.unit.composer.stored.calls import create


async def test_a_story_does_not_count_against_itself_where_its_writing_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_object, conflicts = FolderStore.create, 1

    def create_contested(self: FolderStore, name: str, content: bytes) -> None:
        nonlocal conflicts
        if name.startswith("records/") and conflicts:
            conflicts -= 1
            raise VersionConflict
        create_object(self, name, content)

    monkeypatch.setattr(FolderStore, "create", create_contested)
    async with stage(store=str(tmp_path), stories_running=0, stories_waiting=1) as on:
        assert not (await create(on)).existed
    assert conflicts == 0
