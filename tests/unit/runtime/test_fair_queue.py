from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsing.runtime.fair_queue import OFFLINE_SHARE, FairQueue, QueueFull, Ticket

MOST_WEIGHT = 16
tickets = st.builds(
    Ticket[int],
    job=st.integers(),
    weight=st.integers(1, MOST_WEIGHT),
    session=st.sampled_from(["", "a", "b", "c"]),
    live=st.booleans(),
    deadline_s=st.floats(0, 100),
)


def ticket(job: int = 0, **fields: object) -> Ticket[int]:
    return Ticket(job, **fields)  # type: ignore[arg-type]


def fill_queue(jobs: list[Ticket[int]]) -> FairQueue[int]:
    queue = FairQueue[int](2 * len(jobs))
    for job in jobs:
        queue.put(job)
    return queue


def empty_queue(queue: FairQueue[int], most_weight: int) -> list[list[Ticket[int]]]:
    batches = []
    while queue:
        batches.append(queue.take(most_weight))
    return batches


@given(jobs=st.lists(tickets, max_size=40), most_weight=st.integers(1, MOST_WEIGHT))
def test_every_ticket_is_served_once_in_batches_of_one_priority_that_are_not_too_heavy(
    jobs: list[Ticket[int]], most_weight: int
) -> None:
    batches = empty_queue(fill_queue(jobs), most_weight)
    assert Counter(map(id, (one for batch in batches for one in batch))) == Counter(map(id, jobs))
    for batch in batches:
        assert len({one.live for one in batch}) == 1
        assert len(batch) == 1 or sum(one.weight for one in batch) <= most_weight


@given(jobs=st.lists(tickets, max_size=40), most_weight=st.integers(1, MOST_WEIGHT))
def test_a_session_is_served_in_the_order_in_which_it_came(jobs: list[Ticket[int]], most_weight: int) -> None:
    served = [one for batch in empty_queue(fill_queue(jobs), most_weight) for one in batch]
    for key in {(one.session, one.live) for one in jobs}:
        came = [id(one) for one in jobs if (one.session, one.live) == key]
        assert [id(one) for one in served if (one.session, one.live) == key] == came


@given(
    weights=st.tuples(*[st.lists(st.integers(1, MOST_WEIGHT), min_size=1, max_size=20)] * 3),
    most_weight=st.integers(1, MOST_WEIGHT),
)
def test_while_sessions_wait_none_gets_more_than_a_job_and_a_batch_ahead(
    weights: tuple[list[int], ...], most_weight: int
) -> None:
    queue = fill_queue([ticket(weight=w, session=str(who)) for who, ws in enumerate(weights) for w in ws])
    served, left = Counter[str](), {str(who): len(ws) for who, ws in enumerate(weights)}
    while all(left.values()):
        for one in queue.take(most_weight):
            served[one.session] += one.weight
            left[one.session] -= 1
        shares = [served[who] for who in left]
        assert max(shares) - min(shares) <= 2 * MOST_WEIGHT + most_weight


@given(
    live=st.lists(st.integers(1, MOST_WEIGHT), min_size=5, max_size=60),
    offline=st.lists(st.integers(1, MOST_WEIGHT), min_size=5, max_size=60),
    most_weight=st.integers(1, MOST_WEIGHT),
)
def test_while_both_wait_offline_jobs_get_their_share_and_no_more(
    live: list[int], offline: list[int], most_weight: int
) -> None:
    queue = fill_queue([ticket(weight=w, live=True) for w in live] + [ticket(weight=w) for w in offline])
    served, waiting = Counter[bool](), {True: len(live), False: len(offline)}
    while all(waiting.values()):
        for one in queue.take(most_weight):
            served[one.live] += one.weight
            waiting[one.live] -= 1
        due = served[True] * OFFLINE_SHARE / (1 - OFFLINE_SHARE)
        assert due - 2 * MOST_WEIGHT <= served[False] <= due


def test_one_eighth_is_offline_while_live_jobs_never_end() -> None:
    queue = FairQueue[int](10_000)
    for job in range(1000):
        queue.put(ticket(job, weight=2, live=True, session=f"live {job % 3}"))
    for job in range(100):
        queue.put(ticket(job, weight=8, session=f"offline {job % 2}"))
    served = [one for _ in range(400) for one in queue.take(2)]
    offline = sum(one.weight for one in served if not one.live)
    assert offline / sum(one.weight for one in served) == pytest.approx(OFFLINE_SHARE, abs=0.01)


def test_what_is_owed_to_offline_jobs_is_forgotten_once_none_waits() -> None:
    gone = ticket(50, weight=16)
    queue = fill_queue([gone, *(ticket(job, weight=8, live=True) for job in range(20))])
    for _ in range(13):  # 13 live jobs of weight 8: 14.9 is owed
        queue.take(8)
    queue.drop(gone)
    queue.take(8)
    queue.put(ticket(99, weight=1))
    assert [one.job for one in queue.take(8)] == [14]


@given(jobs=st.lists(tickets, max_size=30), now_s=st.floats(0, 100), pace_s=st.floats(0, 5))
def test_those_who_would_be_late_are_dropped_and_only_those(
    jobs: list[Ticket[int]], now_s: float, pace_s: float
) -> None:
    queue = fill_queue(jobs)
    late = {id(one) for one in queue.drop_late(now_s, pace_s)}
    assert late == {id(one) for one in jobs if now_s + one.weight * pace_s > one.deadline_s}
    assert len(queue) == len(jobs) - len(late)


@given(jobs=st.lists(tickets, max_size=40), most=st.integers(1, 12))
def test_the_queue_never_holds_more_than_it_may_in_all_and_of_a_session(jobs: list[Ticket[int]], most: int) -> None:
    queue, held = FairQueue[int](most), Counter[str]()
    for one in jobs:
        full = sum(held.values()) == most or (one.session != "" and held[one.session] >= max(1, most // 2))
        if full:
            with pytest.raises(QueueFull, match="the most there may be"):
                queue.put(one)
        else:
            queue.put(one)
            held[one.session] += 1
    assert len(queue) == sum(held.values()) <= most


def test_a_ticket_that_is_let_go_is_not_served_and_may_be_let_go_again() -> None:
    gone, stays = ticket(1), ticket(2)
    queue = fill_queue([gone, stays])
    queue.drop(gone)
    queue.drop(gone)
    assert queue.take(10) == [stays]
    assert queue.take(10) == []


def test_a_session_that_rested_does_not_save_up_turns() -> None:
    queue = fill_queue([ticket(job, weight=4, session="steady") for job in range(6)])
    for _ in range(4):
        queue.take(4)
    for job in (10, 11):
        queue.put(ticket(job, weight=4, session="rested"))
    assert [batch[0].job for batch in empty_queue(queue, 4)] == [10, 4, 11, 5]
