"""What is said of a service that ended: how, and the last warning or error of its log."""

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
async def test_the_last_warning_or_error_is_quoted_not_the_last_line(tmp_path: Path, log: str, words: str) -> None:
    (tmp_path / "log").write_text(log)
    assert (
        await exit_message(tmp_path / "log", "exit 3") == f"generator ended with exit code 3; its last message: {words}"
    )


@pytest.mark.parametrize("log", ["", line("INFO", "answered"), line("INFO", "answered") * 2000])
async def test_a_killed_service_has_no_last_message_and_the_likely_reason_is_named(tmp_path: Path, log: str) -> None:
    (tmp_path / "log").write_text(log)
    killed = "generator was killed by SIGKILL, by hand or by a system short of memory; its log has no warning or error"
    assert await exit_message(tmp_path / "log", "kill -9 $$") == killed


async def test_the_messages_of_an_earlier_process_of_the_service_are_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(line("ERROR", "of the first process"))
    begin = (tmp_path / "log").stat().st_size
    ended = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
    process = ServiceProcess("generator", tmp_path / "log", ended, begin)
    await process.ended
    assert process.exit_message() == "generator ended with exit code 3; its log has no warning or error"
    with (tmp_path / "log").open("a") as log:
        log.write(line("ERROR", "of the second"))
    assert process.exit_message() == "generator ended with exit code 3; its last message: of the second"
