"""How many frames are painted."""

from fractions import Fraction

import pytest

from services.composer.film.pace import choose_stride, find_neighbours


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
    assert choose_stride(rate, paint_rate) == stride


def test_a_frame_lies_between_the_painted_ones_around_it() -> None:
    assert [find_neighbours(seq, 3) for seq in range(4)] == [(0, 0, 1), (0, 3, 1 / 3), (0, 3, 2 / 3), (3, 3, 1)]
    assert find_neighbours(7, 1) == (7, 7, 1)
