"""The folder store: the rules of all stores, and its own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.composer.stored.store import FolderStore, NotFound, Store, StoreError
from tests.unit.composer.stored.rules import RULES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_folder_keeps_the_rules_of_stores(tmp_path: Path, rule: Callable[[Store, Path], None]) -> None:
    rule(FolderStore(tmp_path / "store"), tmp_path)


def test_a_folder_is_shared_by_those_who_open_it(tmp_path: Path) -> None:
    one, other = FolderStore(tmp_path), FolderStore(tmp_path)
    one.create("a/b", b"here")
    assert other.read("a/b").content == b"here"
    other.delete("a/b")
    assert [path.name for path in tmp_path.iterdir()] == []
    with pytest.raises(NotFound):
        one.read("a/b")


def test_half_of_a_file_is_no_object(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(NotFound):
        store.put("a", tmp_path / "nothing")
    assert list(store.list("")) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be used"):
        FolderStore(tmp_path / "file")
