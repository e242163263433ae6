"""The timeline: when concepts change, and what each frame shows."""

from fractions import Fraction
from itertools import pairwise
from math import hypot, pi, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.composer.story.timeline import (
    CALM_TRAVEL_S,
    MOVE,
    QUICK,
    REACTION_S,
    WINDOW_S,
    Moment,
    Point,
    Timeline,
    frame_count,
)

LAG_S = 2.0
RATES = [Fraction(24), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60), Fraction(1)]


def make_points(sentiments: list[tuple[float, float]], onset: float = 0.0) -> list[Point]:
    return [Point(i * WINDOW_S, a, v, 0.5, onset) for i, (a, v) in enumerate(sentiments)]


def compute_moments(points: list[Point], *, look_ahead: bool, rate: int = 24) -> list[Moment]:
    timeline, moments, planned = Timeline(look_ahead=look_ahead, lag_s=LAG_S), [], 0
    for point in points:
        timeline.add(point)
        while planned / rate < timeline.ready_s:
            moments.append(timeline.moment(planned / rate))
            planned += 1
        timeline.forget(min(planned / rate, timeline.ready_s))
    timeline.finish()
    while planned / rate < len(points) * WINDOW_S:
        moments.append(timeline.moment(planned / rate))
        planned += 1
    return moments


@pytest.mark.parametrize("rate", RATES)
@given(samples=st.integers(22050, 44100 * 1800))
def test_the_frames_of_a_song_last_as_long_as_it_within_half_a_frame(rate: Fraction, samples: int) -> None:
    duration = Fraction(samples, 44100)
    assert abs(frame_count(samples, 44100, rate) / rate - duration) <= max(1 / rate / 2, 1 / rate - duration)


def test_half_an_hour_at_ntsc_film_rate_does_not_drift() -> None:
    assert frame_count(48000 * 1800, 48000, Fraction(24000, 1001)) == 43157  # 43156.84, rounded


def test_a_constant_feeling_keeps_concepts_for_many_seconds() -> None:
    timeline = Timeline(look_ahead=True, lag_s=LAG_S)
    keys = [key for point in make_points([(-0.6, 0.2)] * 120) for key in timeline.add(point)] + timeline.finish()
    stays = [b.arrive_s - a.arrive_s for a, b in pairwise(keys)]
    assert keys[0].arrive_s == 0
    assert all(9 <= stay <= 11 for stay in stays)


def test_excited_music_changes_pictures_more_often_than_calm_music() -> None:
    def keys(arousal: float) -> int:
        timeline = Timeline(look_ahead=True, lag_s=LAG_S)
        return sum(len(timeline.add(point)) for point in make_points([(arousal, 0.0)] * 240))

    assert keys(0.8) > 1.4 * keys(-0.8)


def test_offline_the_picture_is_there_when_the_feeling_is() -> None:
    step_s = 20.0
    sentiments = [(0.0, -0.5)] * 40 + [(0.0, 0.6)] * 40
    timeline = Timeline(look_ahead=True, lag_s=LAG_S)
    keys = [key for point in make_points(sentiments) for key in timeline.add(point)] + timeline.finish()
    moved = next(key for key in keys if key.valence > 0.3)
    assert moved.arrive_s <= step_s
    assert moved.start_s >= step_s - 6


def test_live_the_picture_changes_once_the_sentiment_has_moved() -> None:
    timeline = Timeline(look_ahead=False, lag_s=LAG_S)
    keys = [key for point in make_points([(0.0, -0.5)] * 15 + [(0.0, 0.6)] * 4) for key in timeline.add(point)]
    assert keys[-1].start_s == pytest.approx(7.5 + REACTION_S)
    assert keys[-1].arrive_s == pytest.approx(7.5 + REACTION_S + 2.2)
    assert keys[-1].valence == pytest.approx(0.6)
    assert timeline.ready_s == pytest.approx(9.5 + REACTION_S)


def test_live_a_reading_shows_soon_after_its_window_and_then_stays() -> None:
    timeline = Timeline(look_ahead=False, lag_s=LAG_S)
    for point in make_points([(0.0, 0.0), (0.4, 0.8)]):
        timeline.add(point)
    shown_s = WINDOW_S + REACTION_S + QUICK * WINDOW_S
    assert timeline.moment(WINDOW_S + REACTION_S - 1e-6).arousal == pytest.approx(0.0, abs=1e-4)
    assert timeline.moment(shown_s).arousal == pytest.approx(0.4)
    assert timeline.moment(2 * WINDOW_S + REACTION_S - 1e-6).valence == pytest.approx(0.8)


def test_live_equal_points_give_equal_moments_however_late_they_come() -> None:
    points = make_points([(0.1 * i % 1, -0.1 * i % 1) for i in range(12)], 0.3)
    late = Timeline(look_ahead=False, lag_s=LAG_S)
    for point in points:
        late.add(point)
    moments = compute_moments(points, look_ahead=False)
    assert moments == [late.moment(k / 24) for k in range(len(moments))]


def test_a_small_wobble_is_not_a_move() -> None:
    wobble = [(0.0, 0.4 * MOVE * sin(i * pi / 3)) for i in range(14)]
    timeline = Timeline(look_ahead=False, lag_s=LAG_S)
    assert sum(len(timeline.add(point)) for point in make_points(wobble)) == 1


sentiments_st = st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=60)


@settings(max_examples=60, deadline=None)
@given(sentiments=sentiments_st, look_ahead=st.booleans(), onset=st.floats(0, 1))
def test_moments_are_valid_and_never_jump(
    sentiments: list[tuple[float, float]], look_ahead: bool, onset: float
) -> None:
    moments = compute_moments(make_points(sentiments, onset), look_ahead=look_ahead)
    assert len(moments) >= round(len(sentiments) * WINDOW_S * 24)
    for before, after in pairwise(moments):
        assert 0 <= after.progress <= 1
        assert 0 <= after.push <= 1
        assert after.left <= after.right <= after.left + 1
        assert before.right <= after.right <= before.right + 1
        assert after.phase >= before.phase
        if before.right == after.right and before.left == after.left:
            assert abs(after.progress - before.progress) < 0.1
        step = hypot(after.arousal - before.arousal, after.valence - before.valence)
        assert step <= hypot(2, 2) / 12 / (1 if look_ahead else QUICK) + 1e-9


@settings(max_examples=30, deadline=None)
@given(sentiments=sentiments_st)
def test_forgetting_changes_nothing(sentiments: list[tuple[float, float]]) -> None:
    points = make_points(sentiments, 0.3)
    timeline = Timeline(look_ahead=True, lag_s=LAG_S)
    for point in points:
        timeline.add(point)
    timeline.finish()
    whole = [timeline.moment(k / 24) for k in range(round(len(points) * WINDOW_S * 24))]
    assert compute_moments(points, look_ahead=True) == whole


def test_memory_holds_a_few_seconds_of_a_long_song() -> None:
    timeline, planned = Timeline(look_ahead=True, lag_s=LAG_S), 0
    for i in range(7200):
        timeline.add(Point(i * WINDOW_S, sin(i / 40), 0.0, 0.5, 0.1))
        while planned < timeline.ready_s:
            timeline.moment(planned)
            planned += 1
        timeline.forget(min(float(planned), timeline.ready_s))
    assert len(timeline.points) < (CALM_TRAVEL_S + 10) / WINDOW_S
    assert len(timeline.keys) < 8
