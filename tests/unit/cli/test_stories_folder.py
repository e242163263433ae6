"""Where stories go that come to services started by the command line."""

from pathlib import Path

import pytest

from deepsing.local.services import NAMES, LocalServices

VARIABLE = "DEEPSING_COMPOSER_STORE"


def read_store(guarded: bool) -> str | None:
    services = LocalServices(dict.fromkeys(NAMES, 1), guarded=guarded)
    assert VARIABLE not in services._settings("generator")
    return services._settings("composer")[VARIABLE]


def test_services_that_stay_have_a_folder_for_stories_and_those_of_one_command_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert read_store(guarded=True) == str(tmp_path / "deepsing" / "stories")
    assert read_store(guarded=False) is None


def test_a_store_of_the_environment_is_the_composers_of_services_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "s3://bucket/stories")
    assert read_store(guarded=True) == "s3://bucket/stories"
    assert read_store(guarded=False) is None  # a command's own composer must not take stories that wait there
