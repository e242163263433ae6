"""The file of keys: what is not exactly right holds not at all."""

import contextlib
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deepsing.access.keys import new_key
from deepsing.access.keys_file import edit_keys, read_keys
from tests.unit.access.conftest import add_key


def test_a_key_is_read_as_it_was_written(keys_file: Path) -> None:
    when = datetime(2999, 1, 31, 12, tzinfo=UTC)
    text, kept = new_key(
        "ann", expires=when, services=("composer",), streams=0, requests_per_minute=60, work_s_per_day=1.5
    )
    with edit_keys(keys_file) as keys:
        keys["ann"] = kept
    assert read_keys(keys_file) == {"ann": kept}
    assert text not in repr(kept)


GOOD = {"id": "ann", "salt": "0" * 32, "sha256": "0" * 64, "created": "2026-01-01T00:00:00+00:00"}
BAD: dict[str, Any] = {
    "not an object": [],
    "no keys": {},
    "more than keys": {"keys": [], "more": 1},
    "a key that is a text": {"keys": ["deepsing_ann_secret"]},
    "a misspelt field": {"keys": [{**GOOD, "expire": "2026-01-02"}]},
    "a missing field": {"keys": [{name: value for name, value in GOOD.items() if name != "salt"}]},
    "a secret for a hash": {"keys": [{**GOOD, "sha256": "deepsing_ann_secret"}]},
    "a short salt": {"keys": [{**GOOD, "salt": "00"}]},
    "an id that is none": {"keys": [{**GOOD, "id": "Ann Smith"}]},
    "two of one name": {"keys": [GOOD, GOOD]},
    "an end that is none": {"keys": [{**GOOD, "expires": "soon"}]},
    "an end that is a number": {"keys": [{**GOOD, "expires": 5}]},
    "negative streams": {"keys": [{**GOOD, "streams": -1}]},
    "streams that are true": {"keys": [{**GOOD, "streams": True}]},
    "services as a text": {"keys": [{**GOOD, "services": "composer"}]},
    "endless work": {"keys": [{**GOOD, "work_s_per_day": float("inf")}]},
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_file_that_is_not_right_holds_nothing_and_is_not_quoted(keys_file: Path, content: Any) -> None:
    keys_file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r".") as caught:
        read_keys(keys_file)
    assert "secret" not in str(caught.value)


def test_a_change_that_fails_leaves_the_file_as_it_was(keys_file: Path) -> None:
    add_key(keys_file, "ann")
    before = keys_file.read_bytes()
    with contextlib.suppress(RuntimeError), edit_keys(keys_file) as keys:
        keys.clear()
        raise RuntimeError
    assert keys_file.read_bytes() == before


def test_many_who_add_at_once_lose_nothing(keys_file: Path) -> None:
    names = [f"key-{number}" for number in range(20)]
    threads = [threading.Thread(target=add_key, args=(keys_file, name)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(read_keys(keys_file)) == set(names)
    assert [path.name for path in keys_file.parent.iterdir()] == [keys_file.name]
