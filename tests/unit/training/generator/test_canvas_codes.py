import numpy as np
import pytest

from training.generator.canvas.codes import (
    BYTES,
    CODES,
    MARGIN_PX,
    NATIVE_SIZE_PX,
    PACKED,
    PLACE_PX,
    REACH,
    LinearEncoder,
    expand_codes,
    pack_codes,
    round_codes,
)

WINDOW_PX = PLACE_PX + 2 * MARGIN_PX


def values(seed: int, places: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, (places, CODES)).astype(np.float32)


def mean_encoder() -> LinearEncoder:
    """The first code is the mean red of the place minus a half, the second that of its window's left column."""
    kernel = np.zeros((CODES, 3, WINDOW_PX, WINDOW_PX), np.float32)
    kernel[0, 0, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] = 1 / PLACE_PX**2
    kernel[1, 0, :, 0] = 1 / WINDOW_PX
    bias = np.zeros(CODES, np.float32)
    bias[0] = -0.5
    return LinearEncoder(kernel, bias)


def test_a_picture_of_the_native_size_takes_69_kilobytes() -> None:
    places = NATIVE_SIZE_PX[0] // PLACE_PX * (NATIVE_SIZE_PX[1] // PLACE_PX)
    assert (places, places * PACKED) == (1280, 69120)


def test_codes_are_rounded_as_the_definition_says() -> None:
    one = np.zeros(CODES, np.float32)
    one[:2], one[BYTES : BYTES + 4] = (0.5, -2), (REACH, -REACH, 100, 0.1)
    codes = round_codes(one)
    assert codes[:2].tolist() == [64, -127]  # 63.5 goes to the even neighbour; what is beyond is clipped
    assert codes[BYTES : BYTES + 4].tolist() == [7, -7, 7, 0]  # 7 log 1.1 / log 8 = 0.32


def test_codes_stand_for_values_near_those_they_were_made_of() -> None:
    made = expand_codes(round_codes(values(0)))
    assert np.abs(made[:, :BYTES] - values(0)[:, :BYTES].clip(-1, 1)).max() <= 0.5 / 127 + 1e-6
    assert np.abs(made[:, BYTES:] - values(0)[:, BYTES:]).max() < 0.35  # half of the step from 7 log 1 to the next


def test_codes_of_8_bits_fill_a_byte_and_two_of_4_bits_share_one() -> None:
    codes = np.zeros((1, CODES), np.int8)
    codes[0, :3], codes[0, BYTES : BYTES + 4], codes[0, -2:] = (-127, 0, 127), (-7, 7, 0, 3), (7, -7)
    packed = pack_codes(codes)
    assert (packed.shape, packed.dtype) == ((1, PACKED), np.uint8)
    assert packed[0, :BYTES].tolist() == [1, 128, 255, *[128] * (BYTES - 3)]
    assert packed[0, BYTES:].tolist() == [0x1F, 0x8B, *[0x88] * (PACKED - BYTES - 3), 0xF1]


def test_rounding_twice_changes_nothing() -> None:
    codes = round_codes(values(3))
    assert np.array_equal(round_codes(expand_codes(codes)), codes)


def test_an_encoder_reads_the_place_and_its_surroundings() -> None:
    picture = np.zeros((1, 2 * PLACE_PX, 2 * PLACE_PX, 3), np.uint8)
    picture[0, :, PLACE_PX:, 0] = 255  # the right half is red
    picture[0, :, PLACE_PX - MARGIN_PX, 0] = 255  # and the column where the right places' windows begin
    codes = mean_encoder().encode(picture)[0]
    dark = (1 / PLACE_PX - 0.5) * 127
    assert codes[:, :, 0].tolist() == [[round(dark), 64], [round(dark), 64]]
    assert codes[:, :, 1].tolist() == [[0, 127], [0, 127]]


def test_a_picture_that_places_do_not_fill_is_refused() -> None:
    with pytest.raises(ValueError, match="pictures are 30 x 32 px; use multiples of 16"):
        mean_encoder().encode(np.zeros((1, 32, 30, 3), np.uint8))


def test_an_encoder_survives_being_text() -> None:
    encoder = mean_encoder()
    again = LinearEncoder.from_text(encoder.to_text())
    assert np.allclose(again.kernel, encoder.kernel, rtol=1e-3)
    assert again.bias.tolist() == encoder.bias.tolist()
    with pytest.raises(ValueError, match="an encoder has 172900 values; this text holds 2"):
        LinearEncoder.from_text("AAAAAA==")
