"""Temporary folders: those of running composers are kept, those of killed ones are deleted."""

import subprocess
import sys
from pathlib import Path

from services.composer.upload.scratch import ScratchDir

HOLD = """
import sys
from pathlib import Path
from services.composer.upload.scratch import ScratchDir
scratch = ScratchDir(Path(sys.argv[1]))
(scratch.path / "song").write_bytes(b"la")
print(scratch.path, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        folder = Path(other.stdout.readline().strip())
        first = ScratchDir(tmp_path)
        assert (folder / "song").read_bytes() == b"la"
        other.kill()
        other.wait()
    second = ScratchDir(tmp_path)
    assert set(tmp_path.iterdir()) == {first.path, second.path}
    for scratch in (first, second):
        scratch.close()
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "deepsing-notes").mkdir()
    ScratchDir(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["deepsing-notes"]
