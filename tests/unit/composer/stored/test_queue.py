"""The local queue: the rules of all queues, and its own; and which queue a setting opens."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deepsing.runtime.settings import SettingsError
from services.composer.settings import ComposerSettings
from services.composer.stored.local_queue import LocalQueue
from services.composer.stored.queue import QueueError, open_queue
from tests.unit.composer.stored.queue_rules import RULES, Open, Rule, opening, take_all


@pytest.fixture
async def open_local(tmp_path: Path) -> AsyncIterator[Open]:
    async with opening(lambda: LocalQueue(tmp_path / "queue.sqlite")) as open_again:
        yield open_again


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
async def test_a_file_keeps_the_rules_of_queues(open_local: Open, rule: Rule) -> None:
    await rule(open_local)


async def test_a_local_queue_does_not_ask_this_process_for_the_time(
    open_local: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong = open_local(), open_local()
    await right.add("a", "ann", 9)
    ticket = await right.take(30.0)
    assert ticket is not None
    monkeypatch.setattr(time, "time", lambda: 1e10)
    assert await wrong.take(30.0) is None
    assert await right.renew(ticket, 30.0)


async def test_a_clock_that_was_set_back_hides_nothing_for_long(tmp_path: Path, open_local: Open) -> None:
    queue = open_local()
    await queue.add("a", "ann", 9)
    await queue.end("b", 5.0)
    assert await take_all(queue) == ["a"]
    with sqlite3.connect(tmp_path / "queue.sqlite") as file:
        file.execute("UPDATE entries SET due = due + 1e6")  # as if the clock had been far ahead
    assert await take_all(queue) == ["a"]
    assert await queue.take_due(9) == ["b"]


async def test_what_was_queued_is_there_after_the_queue_was_closed(tmp_path: Path) -> None:
    for _ in range(2):
        queue = LocalQueue(tmp_path / "queue.sqlite")
        await queue.add("a", "ann", 9)
        await queue.close()
    queue = LocalQueue(tmp_path / "queue.sqlite")
    assert await take_all(queue) == ["a"]
    await queue.close()
    with pytest.raises(QueueError, match="cannot be used"):
        await queue.take(1.0)


async def test_of_100_000_stories_the_next_is_taken_at_once(tmp_path: Path, open_local: Open) -> None:
    queue = open_local()
    rows = [(f"records/{n % 100}/{n}", f"{n % 100}", n // 100, 0.0, 0.0, "") for n in range(100_000)]
    with sqlite3.connect(tmp_path / "queue.sqlite") as file:
        insert = "INSERT INTO entries(name, owner, ended, turn, due, span, token) VALUES (?, ?, 0, ?, ?, ?, ?)"
        file.executemany(insert, rows)
    waits = []
    for number in range(20):
        began = time.perf_counter()
        await queue.add(f"new{number}", f"newcomer{number}", 9)
        assert await queue.take(100.0) is not None
        assert await queue.take_due(100) == []
        waits.append(time.perf_counter() - began)
    assert sorted(waits)[10] < 0.25
    assert await queue.count() == 100_020


def test_a_file_that_is_no_queue_is_named(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(QueueError, match=r"queue\.sqlite cannot be used .*delete it"):
        LocalQueue(tmp_path / "queue.sqlite")


async def test_the_default_is_a_file_in_the_folder_of_stories(tmp_path: Path) -> None:
    queue = open_queue(ComposerSettings(store=str(tmp_path / "stories")))
    assert (tmp_path / "stories" / ".queue.sqlite").exists()
    await queue.close()
    named = open_queue(ComposerSettings(store="s3://bucket", queue=str(tmp_path / "other" / "file")))
    assert (tmp_path / "other" / "file").exists()
    await named.close()


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        ("", "DEEPSING_COMPOSER_QUEUE is empty; set it to redis://"),
        ("nats://a:1", "begins with nats://; set it to redis://"),
    ],
)
def test_a_bucket_needs_a_queue_that_is_meant(queue: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        open_queue(ComposerSettings(store="s3://bucket", queue=queue))


async def test_composers_that_open_a_queue_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    queues = await asyncio.gather(*(asyncio.to_thread(LocalQueue, tmp_path / "queue.sqlite") for _ in range(8)))
    await asyncio.gather(*(queue.add("a", "ann", 9) for queue in queues))
    assert await take_all(queues[3]) == ["a"]
    for queue in queues:
        await queue.close()
