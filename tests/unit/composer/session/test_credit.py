"""The credit gate by itself: which frames are sent, which are dropped, and the order of both."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepsing.rpc.errors import InvalidArgument
from deepsing.v1 import composer_pb2 as pb
from services.composer.session.credit import CreditGate
from tests.unit.telemetry.counted import MetricDelta


def make_gate(credit: int | None, backlog: int | None) -> CreditGate:
    return CreditGate(credit, backlog, 1.0)


def pop_all(credit_gate: CreditGate) -> list[int | tuple[int, int]]:
    """Takes all that may be sent now: frames as their numbers, FramesDropped as (first, count)."""
    out: list[int | tuple[int, int]] = []
    while (response := credit_gate.pop_next()) is not None:
        if response.HasField("frame"):
            out.append(response.frame.seq)
        else:
            out.append((response.frames_dropped.first_seq, response.frames_dropped.frame_count))
    return out


def offer_frames(credit_gate: CreditGate, *seqs: int) -> None:
    for seq in seqs:
        credit_gate.offer(pb.Frame(seq=seq))


def test_frames_go_as_far_as_credit_does() -> None:
    offline = make_gate(2, None)
    offer_frames(offline, 0, 1, 2, 3)
    assert pop_all(offline) == [0, 1]
    offline.grant(1)
    assert pop_all(offline) == [2]


def test_the_oldest_live_frames_give_way_and_one_note_names_them_in_their_place() -> None:
    live = make_gate(0, 3)
    offer_frames(live, *range(8))
    live.grant(100)
    assert pop_all(live) == [(0, 5), 5, 6, 7]
    assert live.dropped_count == 5


def test_a_note_needs_no_credit() -> None:
    live = make_gate(0, 2)
    offer_frames(live, 0, 1, 2)
    assert pop_all(live) == [(0, 1)]
    offer_frames(live, 3)
    assert pop_all(live) == [(1, 1)]


def test_frames_never_painted_are_named_between_those_that_were() -> None:
    live = make_gate(None, 8)
    offer_frames(live, 0, 1)
    live.skip(2, 3)
    live.skip(5, 1)
    offer_frames(live, 6)
    assert pop_all(live) == [0, 1, (2, 4), 6]
    assert live.dropped_count == 4


def test_a_drop_between_two_notes_makes_them_one() -> None:
    live = make_gate(0, 1)
    live.skip(0, 2)
    offer_frames(live, 2)
    live.skip(3, 4)
    offer_frames(live, 7)
    live.grant(5)
    assert pop_all(live) == [(0, 7), 7]
    assert live.dropped_count == 7


def test_giving_up_names_all_that_waits() -> None:
    live = make_gate(0, 10)
    offer_frames(live, 4, 5)
    live.skip(6, 1)
    offer_frames(live, 7)
    live.drop_waiting()
    assert pop_all(live) == [(4, 4)]
    assert live.frame_count == 0


def test_lag_is_the_age_of_the_audio_when_its_frame_left() -> None:
    metric = MetricDelta()
    live = CreditGate(None, 10, 1.0, {0: 0.25, 40_000: 0.125}.__getitem__)
    live.offer(pb.Frame(seq=0, pts_us=0))
    live.offer(pb.Frame(seq=1, pts_us=40_000))
    live.pop_next()
    assert live.lag_s == 0.25
    live.pop_next()
    assert live.lag_s == 0.125
    assert (metric("deepsing_live_lag_seconds_count"), metric("deepsing_live_lag_seconds_sum")) == (2, 0.375)


@pytest.mark.parametrize("frames", [0, 1_000_001])
def test_a_grant_out_of_range_is_refused(frames: int) -> None:
    with pytest.raises(InvalidArgument, match=f"credit is {frames}; grant 1 to 1000000"):
        make_gate(0, None).grant(frames)


async def test_wait_until_empty_waits_for_the_last_frame_but_not_for_credit_that_cannot_come() -> None:
    live = make_gate(1, 10)
    offer_frames(live, 0, 1)
    waiting = asyncio.ensure_future(live.wait_until_empty())
    live.pop_next()
    await asyncio.sleep(0)
    assert not waiting.done()
    live.close()
    await asyncio.wait_for(waiting, 5)


Steps = st.lists(st.tuples(st.sampled_from(["offer", "skip", "grant", "take"]), st.integers(1, 5)), max_size=60)


@given(steps=Steps, backlog=st.integers(1, 6))
def test_every_frame_is_sent_once_or_reported_once_in_order(steps: list[tuple[str, int]], backlog: int) -> None:
    live, seq, credit, out = make_gate(3, backlog), 0, 3, []
    for kind, count in steps:
        if kind == "offer":
            offer_frames(live, seq)
            seq += 1
        elif kind == "skip":
            live.skip(seq, count)
            seq += count
        elif kind == "grant":
            live.grant(count)
            credit += count
        else:
            out += pop_all(live)
        assert live.frame_count <= backlog
    live.drop_waiting()
    out += pop_all(live)
    numbers = [number for one in out for number in ([one] if isinstance(one, int) else range(one[0], sum(one)))]
    assert numbers == list(range(seq))
    assert sum(isinstance(one, int) for one in out) <= credit
    assert live.dropped_count == sum(one[1] for one in out if isinstance(one, tuple))
