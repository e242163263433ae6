"""The camera's path: bounded, continuous, kicked by onsets, and the same from wherever it is computed."""

import itertools
from math import exp

import numpy as np
import pytest

from services.composer.film.camera import CALM, DRIFT, EXCITED, FASTEST, KICK_GAIN, KICK_ZOOM, Camera, Pose
from services.composer.film.pulses import BANDS, EARLY, FLOOR, FULL, KICK_RESERVE, KICKS_PER_S, RELEASE_S, Pulses
from services.composer.story.rhythm import STEPS, Beat, Rhythm
from services.composer.story.timeline import REACTION_S, WINDOW_S
from tests.unit.composer.film.motion import point, poses, rhythm, song, speeds, storm

HIT = {STEPS - EARLY: 255}  # heard where the next window begins
KICK = (BANDS[0] - FLOOR) / (FULL - FLOOR)  # of a full onset of the low band alone


def kick_at(time_s: float, low: dict[int, int]) -> float:
    """Zoom at a time that comes from onsets in the window from 0.5 s to 1 s, in a story without drift."""
    camera = Camera(0.0, 1.0, look_ahead=True)
    for number in range(6):
        camera.add(point(number, EXCITED, rhythm(low if number == 1 else {})))
    return camera.pose_at(time_s).zoom - 1


def test_a_kick_is_there_at_once_and_decays_to_a_third_in_its_release() -> None:
    peak = kick_at(1.0, HIT)
    assert peak == pytest.approx(KICK_ZOOM * KICK * KICK_GAIN[1])
    assert kick_at(0.99, HIT) == 0
    assert kick_at(1.0 + RELEASE_S, HIT) == pytest.approx(peak * exp(-1), rel=1e-6)


def test_a_kick_begins_with_the_first_frame_at_or_after_its_onset() -> None:
    frames = [kick_at(seq / 24, {20: 255}) for seq in range(12, 24)]  # heard at 0.72 s, between frames 17 and 18
    assert next(seq for seq, zoom in enumerate(frames, 12) if zoom > 0) == 18


def test_the_low_band_kicks_most() -> None:
    def peak(place: int) -> float:
        bands = [b"", b"", b""]
        bands[place] = b"\xff"
        return Pulses(look_ahead=True).add(Rhythm(*bands), 0.0, 1.0).kicks[EARLY]

    low, middle, high = (peak(place) for place in range(3))
    assert low > middle > high > 0


def test_many_onsets_kick_no_more_than_a_ration() -> None:
    pulses = Pulses(look_ahead=True)
    kicks = [kick for one in storm(20) for kick in pulses.add(one.rhythm, one.time_s, 1.0).kicks]
    rises = np.maximum(0, np.diff([0.0, *kicks]))
    assert rises.sum() <= KICK_RESERVE + 10 * KICKS_PER_S
    assert max(kicks) <= 1


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_a_motion_that_changes_moves_no_faster_than_the_bound_and_does_not_jump(step: int) -> None:
    camera = Camera(0.0, 1.0, look_ahead=True, largest=1.0)
    for number, one in enumerate(storm(60)):
        camera.add(one, float(number // step % 2))  # still and lively, in turn
    path = [camera.pose_at(seq / 24) for seq in range(30 * 24)]
    moved = speeds(path)
    assert max(moved[first : first + 24].mean() for first in range(len(moved) - 24)) < FASTEST
    calm = Camera(0.0, 0.0, look_ahead=True, largest=1.0)
    for number, one in enumerate(song(60)):
        calm.add(one, float(number // step % 2))
    assert speeds([calm.pose_at(seq / 24) for seq in range(30 * 24)]).max() < 2 * FASTEST / 3


def test_a_motion_is_reached_gradually_and_a_constant_one_changes_nothing() -> None:
    camera, plain = Camera(0.25, 0.6, look_ahead=True, largest=0.25), Camera(0.25, 0.6, look_ahead=True)
    for one in song(30):
        camera.add(one, 0.25)
        plain.add(one)
    assert [camera.pose_at(seq / 24) for seq in range(360)] == [plain.pose_at(seq / 24) for seq in range(360)]
    rising = Camera(0.0, 0.0, look_ahead=True, largest=1.0)
    for one in song(30):
        rising.add(one, 1.0 if one.time_s >= 5 else 0.0)
    zooms = [rising.pose_at(seq / 24).zoom for seq in range(360)]
    assert zooms[: 5 * 24 + 1] == [1.0] * (5 * 24 + 1)
    assert 1 < zooms[5 * 24 + 6] < 1.05 < zooms[9 * 24]


def test_no_story_moves_faster_than_the_bound() -> None:
    for points in (storm(40), song(40)):
        moved = speeds(poses(points))
        assert max(moved[first : first + 24].mean() for first in range(len(moved) - 24)) < FASTEST


@pytest.mark.parametrize(("arousal", "least", "most"), [(CALM, 0.003, 0.008), (EXCITED, 0.008, 0.03)])
def test_drift_alone_is_slow_when_calm_and_stays_below_three_per_cent(
    arousal: float, least: float, most: float
) -> None:
    moved = speeds(poses([point(number, arousal) for number in range(120)], motion=0.5, react=0.0))
    assert least < moved.mean() < most
    assert speeds(poses([point(number, 1.0) for number in range(240)], react=0.0)).max() < 0.06


def test_without_onsets_the_path_never_jumps() -> None:
    rng = np.random.default_rng(1)
    for fps in (24, 240):  # at ten times the rate, steps are a tenth: the path is continuous
        path = poses([point(number, float(rng.choice([-1, 1]))) for number in range(40)], fps, react=0.0)
        steps = [abs(a.zoom - b.zoom) + abs(a.x - b.x) + abs(a.y - b.y) for a, b in itertools.pairwise(path)]
        assert max(steps) < 3.5 * DRIFT[1] / fps


def test_a_swell_rises_and_falls_without_a_corner_and_the_first_beat_of_a_bar_swells_most() -> None:
    def swells(position: int, certainty: float) -> list[float]:
        heard = rhythm({}, beats=(Beat(0.0, position, certainty),))
        return Pulses(look_ahead=True).add(heard, 0.0, 1.0).swells

    downbeat = swells(1, 0.9)
    assert max(downbeat) == pytest.approx(1, abs=0.05)
    assert downbeat.index(max(downbeat)) in range(10, 14)  # 0.12 s after the beat
    assert np.abs(np.diff(downbeat)).max() < 0.25
    assert max(swells(2, 0.9)) < max(swells(0, 0.9)) < max(downbeat)
    assert max(swells(1, 0.3)) == 0, "a beat that is not sure moves nothing"


def test_live_kicks_come_on_expected_beats_and_not_half_a_second_late() -> None:
    beat = Beat(1.3, 1, 0.9)  # expected while the window of the second point is shown, which had an onset
    camera = Camera(0.0, 1.0, look_ahead=False)
    camera.add(point(0))
    camera.add(point(1, 0.0, rhythm({5: 255})))
    camera.add(point(2, 0.0, rhythm({5: 255}, forecast=(beat,))))
    shown_s = 2 * WINDOW_S + REACTION_S
    zooms = {round(shown_s + step / 100, 2): camera.pose_at(shown_s + step / 100).zoom for step in range(50)}
    assert max(zoom for at, zoom in zooms.items() if at < 1.3) == 1
    assert zooms[1.3] > 1.01


def test_a_pose_does_not_depend_on_what_was_asked_or_forgotten_before() -> None:
    points, early, late = song(40), Camera(0.5, 0.6, look_ahead=True), Camera(0.5, 0.6, look_ahead=True)
    for one in points:
        early.add(one)
        late.add(one)
        early.forget(one.time_s - 2)
    assert [early.pose_at(18.5 + k / 24) for k in range(24)] == [late.pose_at(18.5 + k / 24) for k in range(24)]


def test_poses_are_final_before_later_points_are_known() -> None:
    points = song(40)
    assert poses(points[:20]) == poses(points)[:240]


def test_still_without_reaction_is_the_picture_itself_and_calm_is_never_a_still() -> None:
    assert set(poses(song(10), motion=0, react=0)) == {Pose()}
    silence = [point(number, -1.0) for number in range(40)]
    assert speeds(poses(silence, motion=0.5, react=0)).min() > 0.001
