"""Storyboards: the keys of a story at times that somebody wrote down, around the music that the story follows.

A key at a time that the story plans, too, is that key: it changes the picture over the same seconds and draws the same
noise. So a storyboard with what the story planned is the story, byte by byte.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor

from services.composer.story.plan import StoryboardKey
from services.composer.story.timeline import (
    CALM_TRAVEL_S,
    EXCITED_TRAVEL_S,
    PREVIEW_S,
    WINDOW_S,
    Key,
    Point,
    Timeline,
    between,
)

__all__ = ["Arrangement", "KeyMotion", "ScriptedTimeline", "arrange_keys", "plan_keys"]

SAME_TIME_S = 0.001  # times of planned keys are written down to the millisecond
OWN_INDEX = 2**40  # a key that the story did not plan has this index plus its time in microseconds


@dataclass(frozen=True)
class Arrangement:
    """The keys of a storyboard in order, and what is written for those that are locked, by index of the key."""

    keys: list[Key]
    locked: dict[int, StoryboardKey]


def plan_keys(points: Sequence[Point], lag_s: float) -> list[Key]:
    """The keys that a story has without a storyboard, from all points of its song; for `lag_s` see Timeline."""
    timeline, keys = Timeline(look_ahead=True, lag_s=lag_s), []
    for point in points:
        keys += timeline.add(point)
        timeline.forget(timeline.ready_s)
    return keys + timeline.finish()


def arrange_keys(written: Sequence[StoryboardKey], points: Sequence[Point], lag_s: float) -> Arrangement:
    """Makes a key of each that is written.

    Args:
        written: in order of time, at least one.
        points: all of the song, at least one.
        lag_s: delay of the points' sentiments behind the music, >= 0.
    """
    planned, keys = plan_keys(points, lag_s), list[Key]()
    times_s, counts = [key.arrive_s for key in planned], Counter[int]()
    locked = {}
    for one in written:
        time_s = one.time_s if keys else 0.0  # the first is shown from the start
        place = bisect_left(times_s, time_s - SAME_TIME_S)
        passage = _find_point(points, floor(time_s / WINDOW_S)).passage
        if place < len(planned) and times_s[place] <= time_s + SAME_TIME_S:
            key = planned[place]
        else:
            key = _invent_key(time_s, counts[passage], points, lag_s)
        if keys and key.start_s < keys[-1].arrive_s:
            key = replace(key, start_s=keys[-1].arrive_s)
        counts[passage] += 1
        keys.append(key)
        if one.locked:
            locked[key.index] = one
    return Arrangement(keys, locked)


def _invent_key(time_s: float, step: int, points: Sequence[Point], lag_s: float) -> Key:
    """A key at a time at which the story plans none; for `step` see Key."""
    shown = _find_point(points, floor(time_s / WINDOW_S))
    ahead = floor(time_s / WINDOW_S) + round(lag_s / WINDOW_S)
    seen = [_find_point(points, ahead + more) for more in range(round(PREVIEW_S / WINDOW_S))]
    seen = [point for point in seen if point.passage == shown.passage] or [shown]
    arousal, valence = sum(p.arousal for p in seen) / len(seen), sum(p.valence for p in seen) / len(seen)
    start_s = max(0.0, time_s - between(CALM_TRAVEL_S, EXCITED_TRAVEL_S, arousal))
    return Key(OWN_INDEX + round(time_s * 1e6), start_s, time_s, arousal, valence, shown.section, step)


def _find_point(points: Sequence[Point], place: int) -> Point:
    """Point number `place`, or the nearest one that the song has."""
    return points[min(max(place, 0), len(points) - 1)]


class ScriptedTimeline(Timeline):
    """A Timeline whose keys are given."""

    def __init__(self, keys: Sequence[Key], lag_s: float) -> None:
        super().__init__(look_ahead=True, lag_s=lag_s)
        self._script = deque(keys)

    def _decide_keys(self, place: int) -> Iterator[Key]:
        """The keys whose change begins before the window after point number `place` ends, at least the first."""
        while self._script and (not self.keys or self.finished or self._script[0].start_s <= (place + 1) * WINDOW_S):
            yield self._script.popleft()


class KeyMotion:
    """How far and fast the camera drifts at each time: as the last key says whose change has begun.

    Args:
        usual: motion of the story, for keys that say nothing.
    """

    def __init__(self, keys: Sequence[Key], locked: Mapping[int, StoryboardKey], usual: float) -> None:
        self._starts_s = [key.start_s for key in keys]
        wanted = (locked[key.index].motion if key.index in locked else None for key in keys)
        self._motions = [usual if motion is None else motion for motion in wanted]

    @property
    def largest(self) -> float:
        """The largest motion of any key."""
        return max(self._motions)

    def find(self, time_s: float) -> float:
        """The motion at a time, [0, 1]; before the first key its own."""
        return self._motions[max(0, bisect_right(self._starts_s, time_s) - 1)]
