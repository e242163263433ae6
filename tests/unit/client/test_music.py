"""Passages and tempo of a story, as its client gathers them."""

from deepsing.client.music import MusicRecorder
from deepsing.v1.sentiment_pb2 import AffectPoint, Beat, Rhythm


def make_point(place: int, passage: int, section: int) -> AffectPoint:
    beats = [Beat(time_us=place * 500_000, position=1)]
    return AffectPoint(time_us=place * 500_000, passage=passage, section=section, rhythm=Rhythm(beats=beats))


def test_passages_are_lettered_and_points_that_come_again_after_a_break_count_once() -> None:
    music = MusicRecorder()
    points = [make_point(place, place // 4, (0, 1, 0, 27)[place // 4]) for place in range(16)]
    for point in [*points[:10], *points]:
        music.add(point)
    assert music.sections == ["A", "B", "A", "AB"]
    assert music.beats_per_minute == 120.0


def test_without_beats_there_is_no_tempo() -> None:
    music = MusicRecorder()
    music.add(AffectPoint(time_us=0))
    assert (music.sections, music.beats_per_minute) == (["A"], 0.0)
