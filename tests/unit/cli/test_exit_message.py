"""What is said of a service that ended: how, and what it complained of."""

import asyncio
import json
from pathlib import Path

import pytest

from deepsing.local.process import ServiceProcess


def line(level: str, message: str) -> str:
    return json.dumps({"level": level, "message": message}) + "\n"


async def exit_message(log: Path, command: str) -> str:
    process = ServiceProcess("generator", log, await asyncio.create_subprocess_exec("sh", "-c", command))
    await process.ended
    return process.exit_message()


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (line("INFO", "serving") + line("ERROR", "no room\n left") + line("INFO", "answered"), "no room  left"),
        (line("INFO", "serving") + "MemoryError\n" + line("DEBUG", "answered") + "\n", "MemoryError"),
        ("[1, 2]\n", "[1, 2]"),
        (line("WARNING", "x" * 400), "x" * 300),
    ],
)
async def test_its_last_complaint_is_told_not_what_it_last_did(tmp_path: Path, log: str, words: str) -> None:
    (tmp_path / "log").write_text(log)
    assert (
        await exit_message(tmp_path / "log", "exit 3") == f"generator ended with exit code 3; its last words: {words}"
    )


@pytest.mark.parametrize("log", ["", line("INFO", "answered"), line("INFO", "answered") * 2000])
async def test_one_killed_at_work_left_no_word_and_the_likely_reason_is_named(tmp_path: Path, log: str) -> None:
    (tmp_path / "log").write_text(log)
    killed = "generator was killed by SIGKILL, by hand or by a system short of memory; it left no word"
    assert await exit_message(tmp_path / "log", "kill -9 $$") == killed
