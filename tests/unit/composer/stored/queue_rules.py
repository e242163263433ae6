"""Rules that every queue must follow; each takes a function that opens the same empty queue again."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from services.composer.stored.queue import Queue, QueueFull, Ticket

Open = Callable[[], Queue]
Rule = Callable[[Open], Awaitable[None]]
LEASE_S, MANY = 0.3, 10**6


@asynccontextmanager
async def opening(make: Callable[[], Queue]) -> AsyncIterator[Open]:
    """Yields what opens a queue as often as wanted; closes all at the end."""
    opened: list[Queue] = []

    def open_again() -> Queue:
        opened.append(make())
        return opened[-1]

    yield open_again
    for queue in opened:
        await queue.close()


async def take_all(queue: Queue) -> list[str]:
    """Names of all stories that are free, in the order in which they are taken; they are held for long."""
    names = []
    while ticket := await queue.take(100.0):
        names.append(ticket.name)
    return names


async def take_within(queue: Queue, seconds: float) -> Ticket:
    async with asyncio.timeout(seconds):
        while (ticket := await queue.take(100.0)) is None:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        return ticket


async def stories_of_one_caller_are_taken_in_the_order_in_which_they_came(open_queue: Open) -> None:
    one, other = open_queue(), open_queue()
    for name in ("c", "a", "b"):
        await one.add(name, "ann", MANY)
    assert await take_all(other) == ["c", "a", "b"]
    assert await one.take(100.0) is None
    assert await one.count() == 3


async def callers_take_turns(open_queue: Open) -> None:
    queue = open_queue()
    for number in range(8):
        await queue.add(f"ann{number}", "ann", MANY)
    await queue.add("bob0", "bob", MANY)
    assert {(await queue.take(100.0)).name, (await queue.take(100.0)).name} == {"ann0", "bob0"}  # type: ignore[union-attr]
    await queue.add("cat0", "cat", MANY)  # who comes late does not wait for all of ann's
    await queue.add("cat1", "cat", MANY)
    rest = await take_all(queue)
    assert rest.index("cat0") < 3
    assert rest.index("cat1") < 5
    assert [name for name in rest if name.startswith("ann")] == [f"ann{number}" for number in range(1, 8)]


async def a_story_is_added_once(open_queue: Open) -> None:
    queue = open_queue()
    for _ in range(3):
        await queue.add("a", "ann", MANY)
    assert await take_all(queue) == ["a"]
    await queue.add("a", "ann", MANY)  # while somebody has it
    assert await queue.take(100.0) is None
    assert await queue.count() == 1


async def a_caller_has_so_many_stories_and_not_one_more(open_queue: Open) -> None:
    queues = [open_queue() for _ in range(2)]
    attempts = [queues[number % 2].add(f"ann{number}", "ann", 3) for number in range(6)]
    answers = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [answer.count for answer in answers if isinstance(answer, QueueFull)]
    assert (len(refused), set(refused)) == (3, {3})
    await queues[0].add("bob", "bob", 3)
    name = next(name for name in await take_all(queues[0]) if name != "bob")
    await queues[0].add(name, "ann", 3)  # it is there: no further one
    await queues[1].end(name, 100.0)
    await queues[0].add("another", "ann", 3)
    with pytest.raises(QueueFull):
        await queues[1].add(name, "ann", 3)


async def a_lease_that_is_renewed_lasts_and_one_that_is_not_ends(open_queue: Open) -> None:
    frozen, other = open_queue(), open_queue()
    await frozen.add("a", "ann", MANY)
    ticket = await frozen.take(LEASE_S)
    assert ticket is not None
    until = time.monotonic() + 3 * LEASE_S
    while time.monotonic() < until:
        assert await frozen.renew(ticket, LEASE_S)
        assert await other.take(LEASE_S) is None
        await asyncio.sleep(LEASE_S / 6)
    successor = await take_within(other, LEASE_S + 1)
    assert successor.name == "a"
    assert successor.token != ticket.token
    assert not await frozen.renew(ticket, 100.0)
    await frozen.release(ticket, 0)
    assert await frozen.take(1.0) is None, "a former holder cannot give it away"
    assert await other.renew(successor, 100.0)


async def what_is_given_back_is_free_after_its_pause(open_queue: Open) -> None:
    one, other = open_queue(), open_queue()
    await one.add("a", "ann", MANY)
    ticket = await one.take(100.0)
    assert ticket is not None
    await one.release(ticket, 0)
    again = await other.take(100.0)
    assert again is not None
    assert not await one.renew(ticket, 100.0)
    began = time.monotonic()
    await other.release(again, LEASE_S)
    assert await one.take(100.0) is None
    await take_within(one, LEASE_S + 1)
    assert time.monotonic() - began > LEASE_S - 0.01


async def a_story_may_be_added_hidden_and_be_freed_later(open_queue: Open) -> None:
    queue = open_queue()
    await queue.add("a", "ann", MANY, pause_s=100.0)
    await queue.add("b", "ann", MANY, pause_s=LEASE_S)
    assert await queue.take(100.0) is None
    assert await queue.count() == 2
    await queue.add("a", "ann", MANY)
    assert await take_all(queue) == ["a"]
    assert (await take_within(queue, LEASE_S + 1)).name == "b"


async def an_ended_story_is_taken_from_whoever_has_it(open_queue: Open) -> None:
    one, other = open_queue(), open_queue()
    await one.add("a", "ann", MANY)
    await one.add("b", "ann", MANY)
    ticket = await one.take(100.0)
    assert ticket is not None
    await other.end("a", 100.0)
    await other.end("b", 100.0)
    assert not await one.renew(ticket, 100.0)
    assert await take_all(one) == []
    assert await one.count() == 0
    await other.add("a", "ann", MANY)  # made again
    assert await take_all(one) == ["a"]
    assert await one.take_due(9) == []


async def what_has_ended_is_due_at_its_time(open_queue: Open) -> None:
    one, other = open_queue(), open_queue()
    for number, after_s in enumerate((100.0, 0.0, LEASE_S, 0.0, 0.0)):
        await one.end(f"{number}", after_s)
    assert sorted(await other.take_due(2) + await one.take_due(9)) == ["1", "3", "4"]
    assert await other.take_due(9) == [], "somebody looks at them"
    await asyncio.sleep(LEASE_S + 0.05)
    assert await other.take_due(9) == ["2"]
    await one.end("2", 0.0)
    assert await other.take_due(9) == ["2"]
    await one.end("2", 0.0)
    await one.remove("2")
    assert await other.take_due(9) == []


async def a_queue_knows_whether_it_was_filled(open_queue: Open) -> None:
    assert not await open_queue().is_filled()
    await open_queue().set_filled()
    assert await open_queue().is_filled()


async def of_many_takers_each_gets_another_story(open_queue: Open) -> None:
    queues = [open_queue() for _ in range(4)]
    for number in range(40):
        await queues[0].add(f"{number}", f"owner{number % 3}", MANY)
    tickets = await asyncio.gather(*(queues[number % 4].take(100.0) for number in range(48)))
    names = [ticket.name for ticket in tickets if ticket]
    assert sorted(names, key=int) == [f"{number}" for number in range(40)]


RULES: list[Rule] = [
    stories_of_one_caller_are_taken_in_the_order_in_which_they_came,
    callers_take_turns,
    a_story_is_added_once,
    a_caller_has_so_many_stories_and_not_one_more,
    a_lease_that_is_renewed_lasts_and_one_that_is_not_ends,
    what_is_given_back_is_free_after_its_pause,
    a_story_may_be_added_hidden_and_be_freed_later,
    an_ended_story_is_taken_from_whoever_has_it,
    what_has_ended_is_due_at_its_time,
    a_queue_knows_whether_it_was_filled,
    of_many_takers_each_gets_another_story,
]
