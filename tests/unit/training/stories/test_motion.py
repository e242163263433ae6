"""deepsing eval motion: what is measured of how a story moves."""

import numpy as np
import pytest
from PIL import Image

from deepsing.v1 import sentiment_pb2
from deepsing.v1.composer_pb2 import Frame, NamedWeight, SessionEnd, SessionStarted
from training.stories.motion import (
    HOP_S,
    MotionFigures,
    correlate_with_onsets,
    estimate_motion,
    find_strongest,
    format_table,
    summarize,
)

RNG = np.random.default_rng(0)
PICTURE = np.asarray(
    Image.fromarray(RNG.integers(0, 255, (12, 12, 3), np.uint8)).resize((128, 128), Image.Resampling.BICUBIC)
)
GREY = np.asarray(Image.fromarray(PICTURE).convert("L"), float)


def crop(x: float = 0.0, zoom: float = 1.0) -> np.ndarray:
    """Ninety-six pixels of the picture around its middle, moved to the right by a share of their width, and zoomed."""
    half = 48 / zoom
    middle = 64 - 96 * x
    box = (middle - half, 64 - half, middle + half, 64 + half)
    return np.asarray(Image.fromarray(GREY.astype(np.float32)).resize((96, 96), Image.Resampling.BICUBIC, box), float)


@pytest.mark.parametrize("x", [0.004, -0.01])
def test_a_shift_is_found(x: float) -> None:
    assert estimate_motion(crop(), crop(x)) == pytest.approx((x, 0, 0, 0), abs=0.002)


def test_a_zoom_is_found_and_a_flat_picture_has_no_motion() -> None:
    assert estimate_motion(crop(), crop(zoom=1.02)) == pytest.approx((0, 0, 0.02, 0), abs=0.002)
    assert estimate_motion(np.zeros((96, 96)), np.ones((96, 96))) == (0, 0, 0, 0)


def test_onsets_belong_to_the_first_frame_that_can_answer_them() -> None:
    onsets = np.zeros(200)
    onsets[round(1.0 / HOP_S)] = 5  # a hair before 1 s
    assert find_strongest(onsets, 24, 48).nonzero()[0].tolist() == [24]
    assert find_strongest(onsets, 24, 48, lag=2).nonzero()[0].tolist() == [26]


@pytest.mark.parametrize("late", [0, 1, -2])
def test_the_lag_is_how_late_pictures_are(late: int) -> None:
    onsets = np.random.default_rng(1).uniform(0, 1, 800) ** 4
    differences = find_strongest(onsets, 24, 200, lag=late)
    r, lag = correlate_with_onsets(differences, onsets, 24)
    assert (r, lag) == (pytest.approx(1), late)


def test_pictures_that_do_not_move_do_not_correlate() -> None:
    assert correlate_with_onsets(np.zeros(50), np.ones(100), 24) == (0, 0)


def make_story(step: float) -> MotionFigures:
    """Ten frames of one concept that move to the right by a share of the width each, then one of another concept."""
    figures = MotionFigures("song")
    figures.take(
        SessionStarted(
            size=sentiment_pb2.Size(width_px=96, height_px=96),
            frame_rate=sentiment_pb2.FrameRate(numerator=24, denominator=1),
        )
    )
    for seq in range(11):
        image = np.repeat(crop(seq * step if seq < 10 else 0.1).clip(0, 255).astype(np.uint8)[..., None], 3, 2)
        name = "lake" if seq < 10 else "fire"
        target = sentiment_pb2.Sentiment(arousal=0.1 * seq)
        figures.take(Frame(seq=seq, image=image.tobytes(), concepts=[NamedWeight(name=name, weight=1)], target=target))
    figures.take(SessionEnd(flashes_per_second=1))
    figures.onsets = np.random.default_rng(2).uniform(0, 1, 60)
    return figures


def test_the_speed_of_held_pictures_is_in_per_cent_of_the_width_a_second() -> None:
    facts = make_story(0.002).facts()
    assert facts["speed"] == pytest.approx(0.2 * 24, rel=0.2)
    assert (facts["frames"], facts["flashes_per_second"], facts["held"]) == (11, 1, pytest.approx(10 / 11, abs=1e-3))


def test_songs_are_summed_up_by_medians_and_thirds_of_arousal() -> None:
    summary = summarize([make_story(0.001), make_story(0.002), make_story(0.003)])
    assert (summary["songs"], summary["flashes_per_second"]) == (3, 1)
    assert summary["speed"]["median"] == pytest.approx(4.8, rel=0.2)
    assert set(summary["speed_by_arousal"]) == {"calm", "middle", "excited"}
    assert "median of 3" in format_table([make_story(0.001)] * 3)
