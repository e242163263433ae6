import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from training.generator.canvas.framing import choose_crop, crop_picture


@pytest.mark.parametrize(
    ("size", "shape", "focus", "box"),
    [
        ((500, 400), (640, 512), (0.5, 0.5), (0, 0, 500, 400)),  # the same shape: all of it
        ((1000, 400), (640, 512), (0.5, 0.5), (250, 0, 750, 400)),
        ((1000, 400), (640, 512), (0.9, 0.5), (500, 0, 1000, 400)),  # as far as the border allows
        ((400, 1000), (640, 512), (0.5, 0.2), (0, 40, 400, 360)),
    ],
)
def test_the_subject_is_kept(size: tuple, shape: tuple, focus: tuple, box: tuple) -> None:
    assert choose_crop(size, shape, focus) == pytest.approx(box)


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0, 1), st.floats(0, 1))
def test_a_crop_has_the_shape_and_lies_inside(width: int, height: int, x: float, y: float) -> None:
    left, top, right, bottom = choose_crop((width, height), (5, 4), (x, y))
    assert (right - left) / (bottom - top) == pytest.approx(1.25)
    assert -1e-6 <= left <= right <= width + 1e-6
    assert -1e-6 <= top <= bottom <= height + 1e-6
    assert right - left == pytest.approx(width) or bottom - top == pytest.approx(height)


def test_a_window_is_cropped_around_its_own_subject() -> None:
    columns = np.arange(200, dtype=np.uint8)[None, :, None].repeat(50, 0).repeat(3, 2)
    made = crop_picture(Image.fromarray(columns), (40, 40), (1.0, 0.5), (100, 0, 80, 40))
    assert made.size == (40, 40)
    assert np.asarray(made)[0, ::13, 0].tolist() == pytest.approx([140, 153, 166, 179], abs=1)
