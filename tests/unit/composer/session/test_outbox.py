"""The queue of messages: if it is full, an offline story waits, and a live one drops the oldest messages."""

import asyncio

from deepsing.v1 import composer_pb2 as pb
from services.composer.session.credit import CreditGate
from services.composer.session.outbox import LIVE_SIZE, SIZE, Outbox


def outbox(*, live: bool, credit: int | None = None) -> Outbox:
    box = Outbox()
    box.attach(CreditGate(credit, 3 if live else None, 1.0))
    return box


def heartbeat_message(number: int) -> pb.ComposeResponse:
    return pb.ComposeResponse(heartbeat=pb.Heartbeat(frames_done=number))


def credit_gate_of(box: Outbox) -> CreditGate:
    assert box.credit_gate is not None
    return box.credit_gate


async def test_offline_a_writer_waits_for_the_reader() -> None:
    box = outbox(live=False)
    for number in range(SIZE):
        await box.put(heartbeat_message(number))
    one_more = asyncio.ensure_future(box.put(heartbeat_message(SIZE)))
    await asyncio.sleep(0)
    assert not one_more.done()
    assert await box.get() == heartbeat_message(0)
    await asyncio.wait_for(one_more, 5)


async def test_offline_frames_keep_their_place_among_other_messages() -> None:
    box = outbox(live=False)
    credit_gate_of(box).offer(pb.Frame(seq=0))
    await box.release()
    await box.put(heartbeat_message(1))
    assert [(await box.get()) for _ in range(2)] == [pb.ComposeResponse(frame=pb.Frame(seq=0)), heartbeat_message(1)]


async def test_offline_a_batch_goes_at_once_as_far_as_credit_does_wherever_one_message_has_room() -> None:
    box = outbox(live=False, credit=3)
    for number in range(SIZE - 1):
        await box.put(heartbeat_message(number))
    for seq in range(4):
        credit_gate_of(box).offer(pb.Frame(seq=seq))
    await asyncio.wait_for(box.release(), 5)
    assert len(box.waiting) == SIZE + 2
    credit_gate_of(box).grant(1)
    rest = asyncio.ensure_future(box.release())
    assert [(await box.get()) for _ in range(2)] == [heartbeat_message(0), heartbeat_message(1)]
    await asyncio.sleep(0)
    assert not rest.done()  # the queue is full
    responses = [(await box.get()) for _ in range(SIZE)]
    assert responses == [
        *map(heartbeat_message, range(2, SIZE - 1)),
        *(pb.ComposeResponse(frame=pb.Frame(seq=seq)) for seq in range(3)),
    ]
    await asyncio.wait_for(rest, 5)
    assert await box.get() == pb.ComposeResponse(frame=pb.Frame(seq=3))


async def test_offline_a_grant_waits_for_no_reader_where_no_frame_may_go() -> None:
    box = outbox(live=False, credit=0)
    for number in range(SIZE):
        await box.put(heartbeat_message(number))
    await asyncio.wait_for(box.release(), 5)
    credit_gate_of(box).offer(pb.Frame(seq=0))
    await asyncio.wait_for(box.release(), 5)
    assert len(box.waiting) == SIZE


async def test_live_a_writer_never_waits_and_a_slow_reader_finds_the_newest_frames() -> None:
    box = outbox(live=True)
    for seq in range(1000):
        credit_gate_of(box).offer(pb.Frame(seq=seq))
        await box.release()
    assert (await box.get()) == pb.ComposeResponse(frames_dropped=pb.FramesDropped(first_seq=0, frame_count=997))
    assert [(await box.get()) for _ in range(3)] == [pb.ComposeResponse(frame=pb.Frame(seq=s)) for s in (997, 998, 999)]


async def test_live_signs_of_life_pile_up_no_further_than_their_bound_but_the_start_stays() -> None:
    box = outbox(live=True)
    start = pb.ComposeResponse(session_started=pb.SessionStarted(session_id="a"))
    await box.put(start)
    for number in range(1000):
        await box.put(heartbeat_message(number))
    assert len(box.waiting) == LIVE_SIZE
    assert await box.get() == start
    assert await box.get() == heartbeat_message(1000 - LIVE_SIZE + 1)


async def test_a_reader_that_waits_is_woken_by_a_live_frame() -> None:
    box = outbox(live=True)
    reading = asyncio.ensure_future(box.get())
    await asyncio.sleep(0)
    credit_gate_of(box).offer(pb.Frame(seq=5))
    await box.release()
    assert await asyncio.wait_for(reading, 5) == pb.ComposeResponse(frame=pb.Frame(seq=5))


async def test_at_the_end_frames_without_credit_are_named() -> None:
    box = outbox(live=True, credit=0)
    credit_gate_of(box).offer(pb.Frame(seq=8))
    credit_gate_of(box).close()
    await box.drain()
    assert await box.get() == pb.ComposeResponse(frames_dropped=pb.FramesDropped(first_seq=8, frame_count=1))
