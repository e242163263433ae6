"""deepsing models: what is listed, what is fetched, and which messages are printed."""

import json
from pathlib import Path

import pytest

from deepsing.cli import models as command
from deepsing.cli.__main__ import main
from deepsing.local.models_folder import engine_settings, models_folder

NAME = "biggan-deep-128"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPSING_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(command, "find_spec", lambda name: None)  # no PyTorch here
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / f"{NAME}-pytorch_model.bin").write_bytes(b"weights")
    (tmp_path / "source" / f"{NAME}-config.json").write_bytes(b"{}")
    return tmp_path / "models"


def write_ready_model(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{NAME}.onnx").write_bytes(b"graph")
    manifest = {"name": NAME, "file": f"{NAME}.onnx", "engine": "biggan-deep", "sha256": "a" * 64, "rated_by": "model"}
    (folder / f"{NAME}.json").write_text(json.dumps(manifest))


def test_without_a_source_it_says_where_the_files_are_and_what_to_do_offline(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "pull", NAME]) == 2
    said = capsys.readouterr().err
    assert f"/biggan/{NAME}-pytorch_model.bin" in said
    assert "Without a network: fetch pytorch_model.bin and config.json elsewhere" in said
    assert not folder.exists()


def test_a_pull_brings_weights_and_config_under_their_own_names(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder.parent / "source" / f"{NAME}-pytorch_model.bin"
    assert main(["models", "pull", NAME, "--from", str(source)]) == 0
    assert (folder / NAME / "pytorch_model.bin").read_bytes() == b"weights"
    assert (folder / NAME / "config.json").read_bytes() == b"{}"
    said = capsys.readouterr().out
    assert "which was not checked" in said
    assert f"python -m training.generator.biggan_deep.export --checkpoint {folder / NAME} --out {folder}" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pull", "biggan"], "argument NAME: invalid choice: 'biggan'"),
        (["pull", NAME, "--from", "/gone"], "/gone/config.json: no such file or directory"),
        (["pull", NAME, "--from", "/gone", "--sha256", "12"], "--sha256 is '12'; give 64 hex digits"),
        (["pull", NAME, "--from", "/gone", "--config-sha256", "12"], "--config-sha256 is '12'; give 64 hex digits"),
        (
            ["pull", NAME, "--from", "http://example.org/x/"],
            "http://example.org/x/ is not encrypted, so that others can",
        ),
        (["pull", NAME, "--from", "http://example.org/x/", "--sha256", "a" * 64], "http://example.org/x/ is not encr"),
        ([], "the following arguments are required: VERB"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"deepsing: {said}")


def test_what_is_ready_and_what_is_only_fetched_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_ready_model(folder)
    (folder / "biggan-deep-256").mkdir()
    (folder / "biggan-deep-256" / "pytorch_model.bin").write_bytes(b"123")
    (folder / "notes.json").write_text("[]")
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": NAME,
            "state": "ready",
            "kind": "biggan-deep",
            "size_bytes": 5,
            "sha256": "a" * 64,
            "rated_by": "model",
        },
        {"name": "biggan-deep-256", "state": "fetched", "kind": "", "size_bytes": 3, "sha256": "", "rated_by": ""},
    ]


def test_an_empty_folder_lists_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_services_learn_of_an_engine_that_is_there(folder: Path) -> None:
    assert engine_settings(NAME, {}) == {}
    write_ready_model(folder)
    weights = {"DEEPSING_GENERATOR_WEIGHTS": str(folder), "DEEPSING_TRANSLATOR_WEIGHTS": str(folder)}
    wanted = {"DEEPSING_GENERATOR_ENGINES": f"canvas,{NAME}"} | weights
    assert engine_settings(NAME, {}) == wanted
    assert engine_settings("", {}) == engine_settings("canvas", {}) == {}
    own = {"DEEPSING_GENERATOR_ENGINES": "mine"}
    assert engine_settings(NAME, own) == weights


def test_services_find_an_engine_that_a_story_made_on_the_way(folder: Path) -> None:
    made = folder / "cache" / "pictures-1"
    made.mkdir(parents=True)
    (made / "pictures-1.json").touch()
    assert engine_settings("pictures-1", {})["DEEPSING_GENERATOR_WEIGHTS"] == str(made)
    assert engine_settings("pictures-2", {}) == {}


def test_models_are_kept_with_the_users_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPSING_MODELS_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert models_folder() == Path("/data/deepsing/models")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert models_folder() == Path.home() / ".local/share/deepsing/models"
