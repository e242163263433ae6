import math

import numpy as np
import pytest

from services.generator.rpc import LimitError, parse_class_weights, parse_noise, parse_style_weights


def expect_refusal(check: object, *arguments: object) -> LimitError:
    with pytest.raises(LimitError) as caught:
        check(*arguments)  # type: ignore[operator]
    return caught.value


def test_rows_come_back_in_the_order_they_were_sent() -> None:
    rows = parse_class_weights([1, 0, 0, 0.25, 0.25, 0.5], 2, 3)
    assert rows.tolist() == [[1, 0, 0], [0.25, 0.25, 0.5]]


@pytest.mark.parametrize("total", [1.0009, 0.9991])
def test_a_row_may_miss_one_by_a_thousandth(total: float) -> None:
    assert parse_class_weights([total / 2, total / 2], 1, 2).sum() == pytest.approx(total)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([0.7, 0.7], "sum to 1.4"),
        ([0.5, 0.4], "sum to 0.9"),
        ([1.5, -0.5], "hold 1.5"),
        ([-0.5, 1.0], "hold -0.5"),
        ([math.nan, 1.0], "hold nan"),
        ([math.inf, 0.0], "hold inf"),
    ],
)
def test_class_weights_off_the_simplex_are_refused_by_picture(row: list[float], said: str) -> None:
    limit = expect_refusal(parse_class_weights, [1, 0, *row], 2, 2)
    assert str(limit) == f"class weights of picture 1 {said}; send rows in [0, 1] that sum to 1"
    assert (limit.reason, limit.field) == ("CLASS_WEIGHTS_NOT_SIMPLEX", "class_weights[1]")


def test_a_wrong_number_of_values_is_refused_with_the_right_one() -> None:
    assert str(expect_refusal(parse_class_weights, [1, 0, 0], 2, 2)) == "class_weights has 3 values; send 2 x 2 = 4"
    assert str(expect_refusal(parse_class_weights, [], 1, 2)) == "class_weights has 0 values; send 1 x 2 = 2"
    assert str(expect_refusal(parse_noise, [0.0], 1, 2)) == "noise has 1 values; send 1 x 2 = 2, or none"
    assert expect_refusal(parse_style_weights, [0.0], 1, 2).reason == "STYLE_WEIGHTS_SHAPE"


def test_noise_and_styles_may_be_left_out() -> None:
    assert np.array_equal(parse_noise([], 2, 3), np.zeros((2, 3)))
    assert np.array_equal(parse_style_weights([], 2, 3), np.zeros((2, 3)))


@pytest.mark.parametrize("value", [10.01, -11, math.nan, math.inf])
def test_noise_out_of_reach_is_refused(value: float) -> None:
    limit = expect_refusal(parse_noise, [0, 10, -10, value], 2, 2)
    assert str(limit) == f"noise of picture 1 holds {value:g}; send finite values from -10 to 10"


def test_style_weights_may_lack_to_one_but_not_exceed_it() -> None:
    assert parse_style_weights([0, 0, 0.3, 0.2], 2, 2).sum(axis=1).tolist() == [0, 0.5]
    limit = expect_refusal(parse_style_weights, [0, 0, 0.6, 0.5], 2, 2)
    assert str(limit) == "style weights of picture 1 sum to 1.1; send rows in [0, 1] that sum to at most 1"
    assert expect_refusal(parse_style_weights, [math.nan, 0], 1, 2).reason == "STYLE_WEIGHTS_INVALID"
