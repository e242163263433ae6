"""What the camera sees: never a border, whatever pose and size; and how two pictures are blended."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.composer.film.camera import Pose
from services.composer.film.warp import blend_pictures, find_view, prepare_picture, warp_picture

POSES = st.builds(
    Pose,
    zoom=st.floats(1, 1.4),
    x=st.floats(-1, 1),
    y=st.floats(-1, 1),
    turn=st.floats(-0.05, 0.05),
)
SIDES = st.integers(32, 960).map(lambda half: 2 * half)


def ramp(width: int = 64, height: int = 48) -> np.ndarray:
    rows, columns = np.indices((height, width))
    return np.stack([columns * 3, rows * 4, (rows + columns) % 256], -1).astype(np.uint8)


@given(pose=POSES, width=SIDES, height=SIDES)
@settings(max_examples=300, deadline=None)
def test_no_corner_of_what_is_shown_lies_outside_the_picture(pose: Pose, width: int, height: int) -> None:
    view = find_view(pose, width, height)
    corners = np.array([(x, y, 1) for x in (0, width - 1) for y in (0, height - 1)], float)
    seen = corners @ view.T
    assert seen.min() >= -1e-6
    assert (seen <= np.array([width - 1, height - 1]) + 1e-6).all()


def test_the_middle_of_a_zoomed_picture_stays_and_its_edges_leave() -> None:
    view = find_view(Pose(zoom=2.0), 101, 101)
    assert view @ [50, 50, 1] == pytest.approx([50, 50])
    assert view @ [0, 0, 1] == pytest.approx([25, 25])
    assert find_view(Pose(zoom=2.0, x=1, y=-1), 101, 101) @ [100, 0, 1] == pytest.approx([100, 0])


def test_a_still_pose_gives_the_picture_itself() -> None:
    assert np.array_equal(warp_picture(prepare_picture(ramp(), 64, 48), Pose()), ramp())


def test_a_warp_shows_the_places_that_the_view_says() -> None:
    shown = warp_picture(prepare_picture(ramp(), 64, 48), Pose(zoom=1.25, x=1.0, y=-1.0))
    assert (shown.shape, shown.dtype) == ((48, 64, 3), np.uint8)
    assert shown[0, -1].tolist() == pytest.approx([63 * 3, 0, 63], abs=1)
    assert shown[0, 0, 0] == pytest.approx((63 - 63 / 1.25) * 3, abs=1)


def test_a_blend_lies_between_and_its_end_is_the_picture_itself() -> None:
    left, right = np.full((4, 4, 3), 10, np.uint8), np.full((4, 4, 3), 40, np.uint8)
    assert blend_pictures(left, right, 1.0) is right
    assert set(blend_pictures(left, right, 0.5).ravel().tolist()) == {25}
    assert set(blend_pictures(left, right, 1 / 3).ravel().tolist()) == {20}


def test_a_picture_is_enlarged_to_the_size_of_the_frames_and_otherwise_left_alone() -> None:
    same, large = prepare_picture(ramp(), 64, 48), prepare_picture(ramp(), 128, 96)
    assert np.array_equal(same[..., :3], ramp())
    assert (large.shape, large.dtype) == ((96, 128, 4), np.uint8)
    assert large[50, 60, :2].tolist() == pytest.approx([(60.5 / 2 - 0.5) * 3, (50.5 / 2 - 0.5) * 4], abs=1)
