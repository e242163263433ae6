"""`deepsing keys`: shown once, kept as a hash, gone when revoked."""

import json
import os
import stat
from pathlib import Path

import pytest

from deepsing.access.keys import find_key
from deepsing.access.keys_file import read_keys
from deepsing.cli.__main__ import main


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def add_key(capsys: pytest.CaptureFixture[str], file: Path, *arguments: str) -> str:
    assert main(["keys", "add", *arguments, "--file", str(file)]) == 0
    (key,) = capsys.readouterr().out.splitlines()
    return key


def test_a_key_is_printed_alone_and_its_file_holds_only_a_hash(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    key = add_key(capsys, file, "ann", "--expires", "90d", "--services", "composer", "--streams", "2")
    assert key not in file.read_text()
    assert key[-43:] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = find_key(read_keys(file), key)
    assert kept is not None
    assert kept.expires is not None
    assert ((kept.expires - kept.created).days, kept.services, kept.streams) == (90, ("composer",), 2)
    assert kept.requests_per_minute is None


def test_keys_are_listed_without_anything_secret_and_can_be_revoked(
    capsys: pytest.CaptureFixture[str], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = add_key(capsys, file, "ann"), add_key(capsys, file, "bob", "--expires", "2999-01-31")
    monkeypatch.setenv("DEEPSING_ACCESS_KEYS_FILE", str(file))
    assert main(["keys", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    shown = [(row["name"], row["state"], row["expires"]) for row in rows]
    assert shown == [("ann", "good", None), ("bob", "good", "2999-01-31T00:00:00+00:00")]
    assert not {"salt", "sha256"} & set(rows[0])
    assert main(["keys", "list"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split("\t") == list(rows[0])
    assert [line.split("\t")[:2] for line in lines] == [["ann", "good"], ["bob", "good"]]
    assert main(["keys", "revoke", "ann"]) == 0
    keys = read_keys(file)
    assert find_key(keys, ann) is None
    assert find_key(keys, bob) is not None


def test_no_two_keys_are_alike(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    first, second = (add_key(capsys, file, name)[-43:] for name in ("ann", "bob"))
    assert first != second
    salts = [key.salt for key in read_keys(file).values()]
    assert salts[0] != salts[1]


MISTAKES = [
    (["add", "Ann"], "NAME is 'Ann'; choose a-z, 0-9 and -, at most 32"),
    (["add", "a" * 33], "at most 32"),
    (["add", "ann"], "has a key ann already; revoke it, or choose another name"),
    (["add", "bob", "--expires", "soon"], "--expires is 'soon'; say 90d, 12h, or a date"),
    (["add", "bob", "--expires", "2001-01-01"], "which is over; choose a time to come"),
    (["add", "bob", "--expires", "99999d"], ""),
    (["add", "bob", "--services", "painter"], "--services is 'painter'; choose of audio_sentiment"),
    (["add", "bob", "--streams", "-1"], "--streams is -1; choose 0 or more"),
    (["add", "bob", "--work-s-per-day", "nan"], "--work-s-per-day is nan; choose 0 or more"),
    (["revoke", "eve"], "has no key eve; see deepsing keys list"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES)
def test_a_mistake_is_named_and_changes_nothing(
    capsys: pytest.CaptureFixture[str], file: Path, arguments: list[str], said: str
) -> None:
    add_key(capsys, file, "ann")
    before = file.read_bytes()
    status = main(["keys", *arguments, "--file", str(file)])
    if said:
        assert status == 2
        assert said in capsys.readouterr().err
        assert file.read_bytes() == before
    assert os.listdir(file.parent) == ["keys.json"]


def test_a_broken_file_is_not_overwritten(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    file.write_text("{")
    for arguments in (["add", "ann"], ["list"], ["revoke", "ann"]):
        assert main(["keys", *arguments, "--file", str(file)]) == 2
        assert "cannot be used" in capsys.readouterr().err
    assert file.read_text() == "{"


def test_without_a_file_it_is_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEEPSING_ACCESS_KEYS_FILE", raising=False)
    assert main(["keys", "list"]) == 2
    assert "give --file, or set DEEPSING_ACCESS_KEYS_FILE" in capsys.readouterr().err
