"""Records are read whoever wrote them: this version of the program, an earlier or a later one, or nobody."""

import json

import pytest

from services.composer.stored.record import File, Record, Segment

RECORD = Record(
    "a" * 32,
    "all",
    "RUNNING",
    b"\x08\x01",
    "song",
    1.5,
    2.5,
    epoch=3,
    segments=(Segment("s", 0, 24, "ab"),),
    files=(File("f", 1, 2, "d"),),
    error=(3, "R", "m"),
)


def test_a_record_is_read_as_it_was_written() -> None:
    assert Record.from_bytes(RECORD.to_bytes()) == RECORD


def test_what_a_later_version_added_is_ignored_and_written_again() -> None:
    later = json.loads(RECORD.to_bytes()) | {"priority": {"of": [1]}, "state": "PAUSED"}
    later["segments"][0]["codec"] = "av1"
    read = Record.from_bytes(json.dumps(later).encode())
    assert (read.state, read.ended, read.segments) == ("PAUSED", False, RECORD.segments)
    again = json.loads(read.with_changes(losses=1).to_bytes())
    assert (again["priority"], again["state"], again["losses"]) == ({"of": [1]}, "PAUSED", 1)


def test_a_record_of_the_first_version_is_read() -> None:
    first = json.loads(RECORD.to_bytes()) | {"holder": "somebody"}
    del first["segments"][0]["digest"]
    read = Record.from_bytes(json.dumps(first).encode())
    assert read.segments == (Segment("s", 0, 24, ""),)
    assert "holder" not in json.loads(read.to_bytes())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"null",
        b"[]",
        b"3",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        RECORD.to_bytes()[:-9],
        RECORD.to_bytes().replace(b'"epoch": 3', b'"epoch": "3"'),
        RECORD.to_bytes().replace(b'"created_s": 1.5', b'"created_s": null'),
        RECORD.to_bytes().replace(b'"config": "', b'"config": "!'),
        RECORD.to_bytes().replace(b'"config": "', b'"config": "////'),
        RECORD.to_bytes().replace(b'"first": 0,', b""),
    ],
)
def test_what_is_no_record_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind
        Record.from_bytes(content)
