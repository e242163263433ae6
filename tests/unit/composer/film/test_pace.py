"""How many frames are painted."""

from fractions import Fraction

import pytest

from services.composer.film.pace import Pace, find_neighbours


@pytest.mark.parametrize(
    ("rate", "paint_rate", "stride"),
    [
        (Fraction(24), 12, 2),
        (Fraction(24), 8, 3),
        (Fraction(24), 2, 12),
        (Fraction(24), 0, 1),
        (Fraction(24), 60, 1),
        (Fraction(12), 12, 1),
        (Fraction(18), 12, 1),  # never fewer than wanted
        (Fraction(30), 12, 2),
        (Fraction(60), 12, 5),
        (Fraction(24000, 1001), 12, 1),  # 11.988 would be fewer
        (Fraction(24), 0.1, 240),
    ],
)
def test_no_fewer_pictures_are_painted_than_wanted(rate: Fraction, paint_rate: float, stride: int) -> None:
    assert Pace.choose(rate, paint_rate, rests=False) == Pace(stride, stride)


@pytest.mark.parametrize(
    ("rate", "paint_rate", "pace"),
    [
        (Fraction(24), 12, Pace(2, 8)),
        (Fraction(24), 8, Pace(3, 6)),  # a multiple of the stride
        (Fraction(30), 12, Pace(2, 10)),
        (Fraction(60), 12, Pace(5, 20)),
        (Fraction(12), 12, Pace(1, 4)),
        (Fraction(24), 2, Pace(12, 12)),  # a slow engine paints no fewer
        (Fraction(2), 12, Pace(1, 1)),
        (Fraction(24), 0, Pace(1, 1)),  # a generator of an older release
    ],
)
def test_three_pictures_a_second_are_painted_while_one_is_shown(rate: Fraction, paint_rate: float, pace: Pace) -> None:
    assert Pace.choose(rate, paint_rate, rests=True) == pace


def test_blocks_lie_between_painted_frames_and_end_with_one() -> None:
    pace = Pace(2, 8)
    assert [pace.find_block(seq) for seq in (0, 1, 7, 8, 9)] == [(0, 0), (0, 8), (0, 8), (0, 8), (8, 16)]


def test_a_frame_lies_between_the_painted_ones_around_it() -> None:
    assert [find_neighbours(seq, 3) for seq in range(4)] == [(0, 0, 1), (0, 3, 1 / 3), (0, 3, 2 / 3), (3, 3, 1)]
    assert find_neighbours(7, 1) == (7, 7, 1)
