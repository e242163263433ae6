"""The log of when a growing stream reached each position."""

from services.composer.upload.arrivals import MOST_MARKS, ArrivalLog


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def make_log() -> tuple[ArrivalLog, Clock]:
    clock = Clock()
    return ArrivalLog(clock), clock


def test_a_position_was_reached_with_the_first_mark_at_or_after_it() -> None:
    seen, clock = make_log()
    for clock.now_s, position in ((1.0, 100), (2.0, 250), (3.0, 400)):
        seen.record(position)
    assert [seen.arrival_s(position) for position in (1, 100, 101, 250, 400)] == [1.0, 1.0, 2.0, 2.0, 3.0]
    clock.now_s = 5.0
    assert seen.age_s(250) == 3.0


def test_what_has_not_come_yet_has_no_age() -> None:
    seen, clock = make_log()
    clock.now_s = 7.0
    assert seen.age_s(1) == 0.0


def test_a_position_that_lies_behind_is_no_news() -> None:
    seen, clock = make_log()
    seen.record(100)
    clock.now_s = 1.0
    seen.record(100)
    seen.record(40)
    assert seen.age_s(100) == 1.0


def test_close_entries_merge_at_the_earlier_time_so_that_lag_is_never_underestimated() -> None:
    seen, clock = make_log()
    seen.record(100)
    clock.now_s = 0.005
    seen.record(200)
    assert seen.arrival_s(200) == 0.0


def test_a_time_in_the_past_may_be_recorded() -> None:
    seen, clock = make_log()
    clock.now_s = 4.0
    seen.record(10, 3.5)
    assert seen.age_s(10) == 0.5


def test_memory_is_bounded() -> None:
    seen, clock = make_log()
    for place in range(1, 3 * MOST_MARKS):
        clock.now_s = place / 10
        seen.record(place)
    assert len(seen.positions) <= MOST_MARKS
    assert seen.arrival_s(3 * MOST_MARKS - 1) == clock.now_s
