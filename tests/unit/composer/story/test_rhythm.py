"""Beats, bars and onsets of a moment, and keys that are placed on passages and beats."""

from dataclasses import replace
from itertools import pairwise
from math import exp, sin

import numpy as np
import pytest

from services.composer.story.latents import KeyLatent, KinMemory
from services.composer.story.music import MusicRecorder, name_section
from services.composer.story.rhythm import Beat, Rhythm, Tempo, choose_beat, decay_onsets, locate_beat
from services.composer.story.timeline import REACTION_S, WINDOW_S, Key, Moment, Point, Timeline

TEMPO = Tempo(beats_per_minute=100.0, beats_per_bar=4, certainty=0.9)
BEAT_S = 0.6


def make_beats(end_s: float, certainty: float = 0.9) -> list[Beat]:
    return [Beat(round(i * BEAT_S, 6), i % 4 + 1, certainty) for i in range(int(end_s / BEAT_S) + 1)]


def make_song(
    sections: list[int], windows: int = 40, *, live: bool = False, certainty: float = 0.9, rhythm: bool = True
) -> list[Point]:
    """Passages of `windows` points each, whose sentiment depends on the section, at 100 beats a minute."""
    beats, points = make_beats(len(sections) * windows * WINDOW_S + 5, certainty), []
    for place in range(len(sections) * windows):
        start_s, section = place * WINDOW_S, sections[place // windows]
        inside = tuple(beat for beat in beats if start_s <= beat.time_s < start_s + WINDOW_S)
        after_s = start_s + WINDOW_S
        forecast = tuple(beat for beat in beats if after_s <= beat.time_s < after_s + 2) if live else ()
        hits = {round((beat.time_s - start_s) * 100) for beat in inside}
        low = bytes(255 if step in hits else 0 for step in range(50))
        heard = Rhythm(low, bytes(50), bytes(50), inside, forecast, TEMPO) if rhythm else None
        arousal, valence = (-0.5, 0.5) if section == 0 else (0.6 - 0.1 * section, -0.4)
        points.append(Point(start_s, arousal, valence, 0.5, 0.1, place // windows, section, (0.9, 0.8), heard))
    return points


def run_timeline(points: list[Point], *, look_ahead: bool = True, lag_s: float = 1.0) -> tuple[list[Key], list[Moment]]:
    timeline, moments, keys = Timeline(look_ahead=look_ahead, lag_s=lag_s), [], []
    for point in points:
        keys += timeline.add(point)
        while len(moments) / 24 < timeline.ready_s and not timeline.finished:
            moments.append(timeline.moment(len(moments) / 24))
        timeline.forget(min(len(moments) / 24, timeline.ready_s))
        assert len(timeline.points) < 40
    keys += timeline.finish()
    while len(moments) / 24 < len(points) * WINDOW_S:
        moments.append(timeline.moment(len(moments) / 24))
    return keys, moments


def test_the_phase_of_a_beat_runs_from_one_beat_to_the_next_and_the_bar_over_four() -> None:
    beats = make_beats(6.0)
    assert locate_beat(0.6, beats, TEMPO).beat_phase == 0.0
    place = locate_beat(2.4 + 3 * 0.6 + 0.15, beats, TEMPO)
    assert (place.beat_phase, place.bar_phase) == (pytest.approx(0.25), pytest.approx((3 + 0.25) / 4))
    assert place.certainty == 0.9
    last = locate_beat(6.15, beats, TEMPO)
    assert last.beat_phase == pytest.approx(0.25)  # the tempo says how long the last beat is


def test_there_is_no_phase_before_the_first_beat_after_the_last_and_in_a_long_gap() -> None:
    beats = [Beat(5.0, 1, 0.8), Beat(15.0, 1, 0.8)]
    for time_s in (4.0, 6.0, 12.0, 16.0):
        assert locate_beat(time_s, beats, TEMPO).certainty == 0.0
    assert locate_beat(5.3, beats, TEMPO).beat_phase == pytest.approx(0.5)
    assert locate_beat(5.3, beats, None).certainty == 0.0
    assert locate_beat(5.3, [], TEMPO) == locate_beat(0.0, [], None)


def test_an_onset_rises_at_once_and_decays_into_the_next_window() -> None:
    onsets = decay_onsets(Rhythm(bytes([0] * 10 + [255]), b"", bytes([102])), (0.0, 0.0, 0.0))
    assert len(onsets) == 50
    assert (onsets[9][0], onsets[10][0], onsets[0][2], onsets[10][1]) == (0.0, 1.0, 0.4, 0.0)
    assert onsets[30][0] == pytest.approx(exp(-1))
    assert decay_onsets(Rhythm(b"", b"", b""), onsets[-1])[0][0] == pytest.approx(onsets[-1][0] * exp(-0.05))


def test_a_key_prefers_a_downbeat_to_a_nearer_beat_and_ignores_unsure_ones() -> None:
    beats = [Beat(1.0, 4, 0.9), Beat(1.5, 1, 0.9), Beat(2.0, 2, 0.9)]
    assert choose_beat(beats, 1.1, 0.1, 2.1, 0.5) == 1.5
    assert choose_beat(beats, 1.1, 0.1, 1.4, 0.5) == 1.0
    assert choose_beat([replace(beat, certainty=0.4) for beat in beats], 1.1, 0.1, 2.1, 0.5) == 1.1


def test_the_picture_has_arrived_when_a_passage_begins_and_the_target_steps_there() -> None:
    keys, moments = run_timeline(make_song([0, 1, 0]))
    assert {20.0, 40.0} <= {key.arrive_s for key in keys}
    at_s = {key.arrive_s: key for key in keys}
    assert (at_s[20.0].arousal, at_s[20.0].valence) == (pytest.approx(0.5), pytest.approx(-0.4))
    assert at_s[20.0].start_s < 20.0
    before, after = moments[20 * 24 - 1], moments[20 * 24]
    assert (before.arousal, before.valence) == (pytest.approx(-0.5), pytest.approx(0.5))
    assert (after.arousal, after.valence) == (pytest.approx(0.5), pytest.approx(-0.4))
    assert (before.passage, before.section, after.passage, after.section) == (0, 0, 1, 1)
    assert (after.left, after.right) == (at_s[20.0].index, at_s[20.0].index)
    assert moments[40 * 24].section == 0


def test_keys_never_show_a_mean_over_both_sides_of_a_boundary() -> None:
    keys, _ = run_timeline(make_song([0, 1, 0, 2]), lag_s=2.0)
    shown = {(round(key.arousal, 6), round(key.valence, 6)) for key in keys}
    assert shown == {(-0.5, 0.5), (0.5, -0.4), (0.4, -0.4)}


@pytest.mark.parametrize("look_ahead", [True, False])
def test_passages_of_half_a_second_keep_keys_in_order(look_ahead: bool) -> None:
    points = make_song(list(range(30)), windows=1, live=not look_ahead)
    keys, moments = run_timeline(points, look_ahead=look_ahead)
    assert len(keys) == 30
    assert [key.index for key in keys] == list(range(30))
    assert all(a.arrive_s <= b.start_s <= b.arrive_s for a, b in pairwise(keys))
    assert all(0 <= moment.progress <= 1 for moment in moments)


def test_keys_within_a_passage_arrive_on_downbeats() -> None:
    keys, _ = run_timeline(make_song([0], windows=160))
    assert len(keys) > 5
    for key in keys[1:]:
        assert (key.arrive_s / BEAT_S) == pytest.approx(round(key.arrive_s / BEAT_S), abs=1e-4)
    on_downbeat = sum(abs(key.arrive_s / 2.4 - round(key.arrive_s / 2.4)) < 1e-4 for key in keys[1:])
    assert on_downbeat >= 0.6 * len(keys[1:])


def test_keys_stay_where_they_are_without_sure_beats() -> None:
    unsure, _ = run_timeline(make_song([0], windows=160, certainty=0.3))
    none, _ = run_timeline(make_song([0], windows=160, rhythm=False))
    assert [key.arrive_s for key in unsure] == [key.arrive_s for key in none]
    assert all(key.arrive_s % WINDOW_S == 0 for key in unsure)


def test_live_keys_begin_with_the_passage_as_soon_as_it_is_known_and_on_forecast_beats() -> None:
    points = [make_song([0, 1], live=True)[0], *make_song([0, 1], live=True)]
    keys, _ = run_timeline(points, look_ahead=False)
    boundary = next(key for key in keys if key.section == 1)
    assert boundary.start_s == pytest.approx(20.0 + WINDOW_S + REACTION_S)
    within = [key for key in keys[1:] if key.step]
    assert within
    for key in within:
        assert key.start_s / BEAT_S == pytest.approx(round(key.start_s / BEAT_S), abs=1e-4)


def test_live_beats_come_from_the_forecast_and_late_points_change_no_moment() -> None:
    points = [make_song([0, 1], live=True)[0], *make_song([0, 1], live=True)]
    _, moments = run_timeline(points, look_ahead=False)
    late = Timeline(look_ahead=False, lag_s=0.0)
    for point in points[:5]:  # as many as are certainly known before ready_s
        late.add(point)
    ready = [late.moment(k / 24) for k in range(int(late.ready_s * 24))]
    assert ready == moments[: len(ready)]
    for seq in range(48, 24 * 30):
        phase = moments[seq].beat_phase
        assert min(abs(phase - seq / 24 / BEAT_S % 1), 1 - abs(phase - seq / 24 / BEAT_S % 1)) < 1e-3
        assert moments[seq].beat_certainty == 0.9


def test_moments_are_the_same_however_late_points_are_added() -> None:
    points = make_song([0, 1, 0])
    _, streamed = run_timeline(points)
    timeline = Timeline(look_ahead=True, lag_s=1.0)
    for point in points:
        timeline.add(point)
    timeline.finish()
    assert [timeline.moment(k / 24) for k in range(len(streamed))] == streamed


def test_pictures_move_more_in_the_frames_of_onsets_with_rhythm_than_without() -> None:
    def correlate(points: list[Point]) -> float:
        _, moments = run_timeline(points)
        moved = [abs(b.push - a.push) + abs(b.phase - a.phase) for a, b in pairwise(moments)]
        onset = [float(any((k + 1) / 24 >= beat.time_s > k / 24 for beat in make_beats(60))) for k in range(len(moved))]
        return float(np.corrcoef(moved, onset)[0, 1])

    assert correlate(make_song([0], windows=80)) > 0.7
    assert correlate(make_song([0], windows=80, rhythm=False)) < 0.1


def test_points_without_rhythm_have_no_beat_and_no_onsets() -> None:
    _, moments = run_timeline([Point(i * WINDOW_S, sin(i / 9), 0.0, 0.5, 0.2) for i in range(40)])
    assert {(m.beat_phase, m.bar_phase, m.beat_certainty, m.onsets) for m in moments} == {(0.0, 0.0, 0.0, (0, 0, 0))}


def test_keys_of_a_returning_section_count_their_steps_anew_and_have_kin() -> None:
    keys, _ = run_timeline(make_song([0, 1, 0]))
    memory, draws = KinMemory(), []
    for key in keys:
        style = np.zeros(1, np.float32)
        latent = memory.recall(key, style)
        if latent is None:
            number = np.float32(memory.find_draw(key))
            latent = KeyLatent(np.array([number], np.float32), np.array([number], np.float32), style, (0.0, 0.0))
        memory.add(key, latent)
        draws.append((key.section, key.step, int(latent.classes[0])))
    first = [draw for draw, key in zip(draws, keys, strict=True) if key.arrive_s < 20]
    third = [draw for draw, key in zip(draws, keys, strict=True) if key.arrive_s >= 40]
    second = [draw for draw, key in zip(draws, keys, strict=True) if 20 <= key.arrive_s < 40]
    shared = min(len(first), len(third))
    assert shared >= 2
    assert first[:shared] == third[:shared]
    assert not {draw[2] for draw in second} & {draw[2] for draw in first}


def test_kin_of_another_sentiment_is_drawn_from_the_same_index_but_chosen_anew() -> None:
    memory, style = KinMemory(), np.zeros(1, np.float32)
    memory.add(Key(3, 0.0, 0.0, 0.5, 0.5, section=1, step=2), KeyLatent(style, style, style, (0.1, 0.2)))
    near, far = Key(9, 9.0, 9.0, 0.45, 0.5, 1, 2), Key(9, 9.0, 9.0, 0.0, 0.5, 1, 2)
    assert memory.recall(near, style) is not None
    assert memory.recall(far, style) is None
    assert memory.find_draw(far) == 3
    assert memory.find_draw(Key(9, 9.0, 9.0, 0.5, 0.5, 1, 3)) == 9


def test_the_music_of_a_story_is_its_passages_beats_and_tempo() -> None:
    recorder = MusicRecorder()
    for point in make_song([0, 1, 0, 2]):
        recorder.add(point)
    music = recorder.result()
    assert [(p.start_s, name_section(p.section)) for p in music.passages] == [
        (0.0, "A"),
        (20.0, "B"),
        (40.0, "A"),
        (60.0, "C"),
    ]
    assert (music.passages[1].arousal, music.passages[1].valence) == (pytest.approx(0.5), pytest.approx(-0.4))
    beats = list(music.iter_beats())
    assert (len(beats), beats[5]) == (134, (3.0, 2))
    assert music.tempo == Tempo(pytest.approx(100.0), 4, pytest.approx(0.9))
    assert (MusicRecorder().result().passages, MusicRecorder().result().tempo) == ((), None)


def test_a_tempo_is_less_certain_where_the_music_changes_it() -> None:
    recorder, beats = MusicRecorder(), [k / 2 for k in range(31)] + [15 + k / 4 for k in range(1, 21)]
    for place in range(40):
        inside = tuple(Beat(beat, 1, 0.9) for beat in beats if place <= 2 * beat < place + 1)
        recorder.add(Point(place / 2, 0.0, 0.0, 0.5, 0.0, rhythm=Rhythm(b"", b"", b"", inside, tempo=TEMPO)))
    assert recorder.result().tempo == Tempo(120.0, 4, pytest.approx(0.9 * 30 / 49))


def test_sections_are_lettered_beyond_z() -> None:
    assert [name_section(n) for n in (0, 25, 26, 27, 52, 702)] == ["A", "Z", "AA", "AB", "BA", "AAA"]
