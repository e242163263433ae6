"""eval, train and bench become the program that does it, with every argument as it came."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from deepsing.cli import hand_over as hand_over_module
from deepsing.cli.__main__ import main

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


@pytest.mark.parametrize(
    ("words", "module"),
    [
        ("eval audio", "training.audio_sentiment.evaluate"),
        ("eval story", "training.stories.evaluate"),
        ("eval generator", "training.generator.evaluate"),
        ("eval translator", "training.translator.evaluate"),
        ("eval image-sentiment", "training.translator.judge.evaluate"),
        ("train image-sentiment", "training.translator.judge.train"),
        ("eval styles", "training.translator.styles.evaluate"),
        ("train audio", "training.audio_sentiment.train"),
        ("train generator", "training.generator.own_pictures"),
        ("train translator", "training.translator.train"),
        ("bench", "bench"),
    ],
)
def test_all_arguments_are_passed_on(
    words: str, module: str, exec_calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over_module, "find_spec", lambda name: object())
    with pytest.raises(ExecCalled):
        main([*words.split(), "--data", "my songs", "--json", "--help"])
    command, environment = exec_calls[0]
    assert command[1:] == ["-P", "-m", module, "--data", "my songs", "--json", "--help"]
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == "/clone"


def test_training_without_pytorch_says_how_to_get_it(
    exec_calls: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hand_over_module, "find_spec", lambda name: None)
    assert main(["train", "generator"]) == 2
    assert "pip install -e '.[serve,train]'" in capsys.readouterr().err
    assert exec_calls == []


def test_a_program_that_is_not_here_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["eval", "audio", "--data", "x"]) == 2
    assert "training.audio_sentiment.evaluate is not installed here; work in a clone" in capsys.readouterr().err
