"""Where a command's key and TLS come from."""

import argparse
from pathlib import Path

import pytest

from deepsing.access.outgoing import Tls
from deepsing.cli.__main__ import main
from deepsing.cli.credentials import add_credentials, read_channel_credentials, read_client_credentials
from deepsing.local.failures import CommandError


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "CHANNEL_KEY_FILE", "CHANNEL_TLS", "CHANNEL_TLS_CA", "CHANNEL_PLAINTEXT_KEY"):
        monkeypatch.delenv(f"DEEPSING_{name}", raising=False)


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_credentials(parser)
    return parser.parse_args(words)


def test_without_any_there_is_none() -> None:
    assert read_client_credentials(parse()) == {"api_key": None, "tls": False, "plaintext_key": False}


def test_a_file_goes_before_the_variable_and_that_before_the_services_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "service"):
        (tmp_path / name).write_text(f"key-of-{name}\n")
    monkeypatch.setenv("DEEPSING_CHANNEL_KEY_FILE", str(tmp_path / "service"))
    assert read_channel_credentials(parse())["key"]() == "key-of-service"
    monkeypatch.setenv("DEEPSING_API_KEY", "key-of-variable")
    assert read_channel_credentials(parse())["key"] == "key-of-variable"
    assert read_channel_credentials(parse("--api-key-file", str(tmp_path / "mine")))["key"]() == "key-of-mine"


def test_tls_comes_from_the_arguments_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_channel_credentials(parse("--tls"))["tls"] == Tls()
    assert read_channel_credentials(parse("--tls-ca", "ca.pem"))["tls"] == Tls(Path("ca.pem"))
    monkeypatch.setenv("DEEPSING_CHANNEL_TLS_CA", "other.pem")
    assert read_channel_credentials(parse())["tls"] == Tls(Path("other.pem"))


def test_a_key_file_without_a_key_is_a_mistake_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be used"):
        read_channel_credentials(parse("--api-key-file", str(tmp_path / "gone")))
    (tmp_path / "empty").touch()
    with pytest.raises(CommandError, match="is empty or holds what a key cannot hold"):
        read_channel_credentials(parse("--api-key-file", str(tmp_path / "empty")))


@pytest.mark.parametrize("command", [["probe", "song.mp3"], ["concepts"]])
def test_a_key_is_not_sent_to_another_machine_in_the_clear(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "song.mp3").write_bytes(b"song")
    monkeypatch.setenv("DEEPSING_API_KEY", "deepsing_ann_secret")
    assert main([*command, "--target", "composer.test:50051", "--json"]) == 2
    said = capsys.readouterr().err
    assert "would cross the network in the clear; use TLS" in said
    assert "secret" not in said
