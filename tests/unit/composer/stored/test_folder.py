"""The folder store: the rules of all stores, and its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.composer.stored.folder import FolderStore
from services.composer.stored.store import NotFound, Store, StoreError
from tests.unit.composer.stored.rules import RULES

BUSY = """
import sys
from pathlib import Path
from services.composer.stored.folder import FolderStore
store, source = FolderStore(Path(sys.argv[1])), Path(sys.argv[1]) / "source"
while True:
    for name in ("stories/a/1/f", "stories/b/2/f", "records/a/b/f"): store.put(name, source)
    for name in ("stories/a/1/f", "stories/b/2/f", "records/a/b/f"): store.delete(name)
    print("turn", flush=True)
"""
KILLED = """
import os, sys
from pathlib import Path
from services.composer.stored import folder
store = folder.FolderStore(Path(sys.argv[1]))
def copy_half(source, target):
    target.write_bytes(b"half")
    print("half", flush=True)
    sys.stdin.read()
folder.shutil.copyfile = copy_half
store.put("a/b", Path(sys.argv[1]) / "source")
"""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_folder_keeps_the_rules_of_stores(tmp_path: Path, rule: Callable[[Store, Path], None]) -> None:
    rule(FolderStore(tmp_path / "store"), tmp_path)


def test_a_folder_is_shared_by_those_who_open_it(tmp_path: Path) -> None:
    one, other = FolderStore(tmp_path), FolderStore(tmp_path)
    one.create("a/b", b"here")
    assert other.read("a/b").content == b"here"
    other.delete("a/b")
    assert list_visible(tmp_path) == []
    with pytest.raises(NotFound):
        one.read("a/b")


def list_visible(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name[0] != "."]


def list_partials(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".partial-*") if path.is_file()]


def test_half_of_a_file_is_no_object(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(NotFound):
        store.put("a", tmp_path / "nothing")
    assert list(store.list("")) == []
    assert list_visible(tmp_path) == list_partials(tmp_path) == []


def test_a_folder_that_cannot_be_created_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be used"):
        FolderStore(tmp_path / "file")


def test_lists_are_whole_while_another_process_writes_and_deletes(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    names = [f"records/a/z{number}" for number in range(50)]
    for name in names:
        store.create(name, b"{}")
    (tmp_path / "source").touch()
    with subprocess.Popen([sys.executable, "-c", BUSY, str(tmp_path)], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"turn\n"
        for _ in range(300):
            listed = list(store.list("records/"))
            assert [name for name in listed if name in names] == sorted(names)
            assert set(store.list("")) >= set(names)
        busy.kill()


def test_what_a_killed_process_left_half_written_goes_at_the_next_opening(tmp_path: Path) -> None:
    kept = FolderStore(tmp_path)
    living = kept._scratch.path / ".partial-living"
    living.touch()
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=os.getcwd()
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"half\n"
    assert len(list_partials(tmp_path)) == 2
    FolderStore(tmp_path)
    assert len(list_partials(tmp_path)) == 2, "its process lives"
    killed.kill()
    killed.communicate()
    FolderStore(tmp_path)
    assert list_partials(tmp_path) == [living]
