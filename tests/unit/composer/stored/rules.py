"""Rules that every store must follow; each takes an empty store and a folder for files."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.composer.stored.store import NotFound, Store, VersionConflict

WRITERS, ROUNDS = 8, 5


def winners(write: Callable[[int], None]) -> int:
    """How many of WRITERS concurrent writers get no conflict."""

    def try_write(number: int) -> bool:
        try:
            write(number)
        except VersionConflict:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as threads:
        return sum(threads.map(try_write, range(WRITERS)))


def what_was_written_is_read(store: Store, folder: Path) -> None:
    store.create("records/all/a", b"one")
    entry = store.read("records/all/a")
    assert entry.content == b"one"
    store.replace("records/all/a", b"two", entry.version)
    assert store.read("records/all/a").content == b"two"


def what_is_not_there_is_missing(store: Store, folder: Path) -> None:
    with pytest.raises(NotFound):
        store.read("nothing")
    with pytest.raises(NotFound):
        store.fetch("nothing", folder / "target")
    store.delete("nothing")


def only_one_of_many_creates(store: Store, folder: Path) -> None:
    for turn in range(ROUNDS):
        assert winners(lambda number, turn=turn: store.create(f"new-{turn}", b"%d" % number)) == 1  # type: ignore[misc]


def only_one_of_many_replaces(store: Store, folder: Path) -> None:
    store.create("one", b"first")
    for turn in range(ROUNDS):
        version = store.read("one").version
        replaced = winners(lambda number, v=version, t=turn: store.replace("one", b"%d %d" % (t, number), v))  # type: ignore[misc]
        assert replaced == 1


def an_older_version_or_none_is_not_replaced(store: Store, folder: Path) -> None:
    store.create("one", b"first")
    old = store.read("one").version
    store.replace("one", b"second", old)
    with pytest.raises(VersionConflict):
        store.replace("one", b"third", old)
    with pytest.raises(VersionConflict):
        store.replace("other", b"third", old)
    assert store.read("one").content == b"second"


def files_come_back_as_they_went(store: Store, folder: Path) -> None:
    source, target = folder / "source", folder / "target"
    source.write_bytes(bytes(range(256)) * 50_000)  # more than one part of an upload
    for _ in range(2):
        store.put("stories/all/a/1/video", source)
    store.fetch("stories/all/a/1/video", target)
    assert target.read_bytes() == source.read_bytes()


def names_are_listed_in_order_from_where_one_asks(store: Store, folder: Path) -> None:
    for name in ("b/2", "a/1", "a/3", "a/2", "ab"):
        store.create(name, name.encode())
    assert list(store.list("a/")) == ["a/1", "a/2", "a/3"]
    assert list(store.list("a/", "a/1")) == ["a/2", "a/3"]
    assert list(store.list("a")) == ["a/1", "a/2", "a/3", "ab"]
    store.delete("a/2")
    assert list(store.list("")) == ["a/1", "a/3", "ab", "b/2"]
    assert list(store.list("nothing/")) == []


def age_goes_by_the_clock_of_the_store(store: Store, folder: Path) -> None:
    store.create("one", b"first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: 1e10)  # this machine's clock is centuries ahead
        assert 0 <= store.age_s("one") < 60
    time.sleep(1.1)  # S3 counts in seconds
    assert 1 <= store.age_s("one") < 60
    with pytest.raises(NotFound):
        store.age_s("nothing")


RULES = [
    what_was_written_is_read,
    what_is_not_there_is_missing,
    only_one_of_many_creates,
    only_one_of_many_replaces,
    an_older_version_or_none_is_not_replaced,
    files_come_back_as_they_went,
    names_are_listed_in_order_from_where_one_asks,
    age_goes_by_the_clock_of_the_store,
]
