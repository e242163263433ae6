"""What a killed process left unfinished is removed by the next one; what a living one still writes is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deepsing.client.files import StoryFiles, story_paths
from deepsing.runtime.leftovers import claim, take_abandoned

WRITER = """
import sys, time
from pathlib import Path
from deepsing.client.files import StoryFiles, story_paths
with StoryFiles(story_paths(Path(sys.argv[1]))):
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", WRITER, str(tmp_path / "story.mp4")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_of_a_killed_process_go_and_those_of_a_living_one_stay(
    writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    (tmp_path / ".deepsing.part").write_bytes(b"somebody's own")
    parts = names(tmp_path)
    assert len(parts) == 5
    with StoryFiles(story_paths(tmp_path / "other.mp4")):
        assert parts < names(tmp_path)
    assert names(tmp_path) == parts
    kill(writer)
    with StoryFiles(story_paths(tmp_path / "other.mp4")):
        assert not parts & names(tmp_path) - {".deepsing.part"}
    assert names(tmp_path) == {".deepsing.part"}


def test_a_lock_lasts_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    lock = claim(tmp_path / "new", tmp_path / "held-1")
    assert lock is not None
    assert take_abandoned(tmp_path, "held-*") == []
    os.close(lock)
    assert take_abandoned(tmp_path, "held-*") == [tmp_path / "held-1"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "held-1").symlink_to(tmp_path / "target")
    assert take_abandoned(tmp_path, "held-*") == []
