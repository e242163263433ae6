"""A command ends in order whatever its standard streams are: closed, full, or without a reader."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = """
import os, sys
from deepsing.cli.entry import run_command

def work():
    print("progress", file=sys.stderr, flush=True)
    with open(os.environ["OUT"], "w") as out:
        out.write("the story")
    print("the result")
    return 0

raise SystemExit(run_command(work))
"""


def run(redirection: str, out: str, command: str = COMMAND) -> subprocess.CompletedProcess[str]:
    script = f'exec "$@" {redirection}'
    words = ["sh", "-c", script, "sh", sys.executable, "-c", command]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=60, env={"OUT": out, "PYTHONPATH": ":".join(sys.path)}
    )


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "<&-", "<&- 2>&-"])
def test_the_result_comes_whatever_standard_error_is(redirection: str, tmp_path: Path) -> None:
    ended = run(redirection, f"{tmp_path}/out")
    assert (ended.returncode, ended.stdout) == (0, "the result\n")
    assert (tmp_path / "out").read_text() == "the story"


@pytest.mark.parametrize("redirection", [">&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_output_is_survived_and_no_file_takes_its_place(redirection: str, tmp_path: Path) -> None:
    ended = run(redirection, f"{tmp_path}/out")
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "out").read_text() == "the story"


def test_a_full_standard_output_is_a_failure_in_one_line(tmp_path: Path) -> None:
    ended = run(">/dev/full", f"{tmp_path}/out")
    assert (ended.returncode, ended.stderr) == (1, "progress\ndeepsing: standard output: no space left on device\n")


def test_a_reader_that_has_gone_is_no_failure_to_speak_of(tmp_path: Path) -> None:
    ended = run("| true", f"{tmp_path}/out", COMMAND.replace('print("the result")', 'print("x" * 1_000_000)'))
    assert ended.stderr == "progress\n"


def test_an_error_of_the_work_is_told_as_such(tmp_path: Path) -> None:
    ended = run("", f"{tmp_path}/gone/out")
    assert ended.returncode == 2
    assert ended.stderr.endswith("/gone/out: no such file or directory\n")


def test_help_on_a_full_disk_is_a_failure_in_one_line() -> None:
    command = "from deepsing.cli.__main__ import main\nraise SystemExit(main(['--help']))"
    ended = run(">/dev/full", "", command)
    assert (ended.returncode, ended.stderr) == (1, "deepsing: standard output: no space left on device\n")
