"""The folder of logs that nobody keeps goes with its process, or with the next one if it was killed."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from deepsing.local.services import LocalServices


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_folders_of_killed_processes_go_and_all_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("deepsing-logs-killed", "deepsing-logs-mine", "deepsing-project"):
        (tmp_path / name).mkdir()
    (tmp_path / "deepsing-logs-killed" / "composer.log").write_text("a line")
    (tmp_path / "deepsing-logs-mine" / "thesis.txt").write_text("years of work")

    async def work() -> None:
        async with LocalServices({}):
            inside = names(tmp_path)
            assert len(inside) == 3
            async with LocalServices({}):  # while the first one lives
                assert inside < names(tmp_path)
            assert names(tmp_path) == inside

    asyncio.run(work())
    assert names(tmp_path) == {"deepsing-logs-mine", "deepsing-project"}
    assert (tmp_path / "deepsing-logs-mine" / "thesis.txt").read_text() == "years of work"
