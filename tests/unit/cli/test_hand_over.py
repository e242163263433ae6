"""eval, train and bench become the program that does it, with every argument as it came."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from deepsing.cli import hand_over as hand_over_module
from deepsing.cli.__main__ import main
from deepsing.cli.hand_over import CHOICES

PROGRAM = "import json, sys; print(json.dumps(sys.argv[1:])); sys.exit(7)"


class ExecCalled(Exception):
    """Stands for the process having been replaced."""


@pytest.fixture
def exec_calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []

    def execve(path: str, command: list[str], environment: dict[str, str]) -> None:
        calls.append((command, environment))
        raise ExecCalled

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(hand_over_module, "service_root", lambda module, way_out: Path("/clone"))
    return calls


@pytest.mark.parametrize("words", ["bench", *(f"{verb} {what}" for verb in CHOICES for what in CHOICES[verb])])
def test_all_arguments_are_passed_on(words: str, exec_calls: list[Any]) -> None:
    with pytest.raises(ExecCalled):
        main([*words.split(), "--data", "my songs", "--json", "--help"])
    command, environment = exec_calls[0]
    program = ["bench"] if words == "bench" else ["training", *words.split()]
    assert command[1:] == ["-P", "-m", *program, "--data", "my songs", "--json", "--help"]
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == "/clone"


@pytest.mark.parametrize("verb", CHOICES)
def test_help_lists_the_choices_where_no_clone_is(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for choice, sentence in CHOICES[verb].items():
        assert f"  {choice:<16} {sentence}" in lines
    assert "examples:" in lines


def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "pictures"]) == 2
    assert "choose from" in (said := capsys.readouterr().err)
    assert "image-sentiment" in said


def test_a_program_that_is_not_here_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["eval", "audio", "--data", "x"]) == 2
    assert "training is not installed here; work in a clone" in capsys.readouterr().err
