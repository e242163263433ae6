"""Turns sentiments, two a second, into what every video frame shows.

Source: Passalis & Doropoulos (2021), section 3.4.
Differs: concepts change when the smoothed sentiment has clearly moved (the original changes every 5 s), the latent
travels along a path between two of them (the original cross-fades pictures), offline a change of the picture ends when
the sentiment has changed (the original is two seconds late), and concepts also change where a passage of the music
begins, else on a downbeat if one is near.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import exp, floor, hypot

from services.composer.story.rhythm import (
    LONGEST_BEAT_S,
    STEPS,
    WINDOW_S,
    Beat,
    Rhythm,
    WindowMotion,
    choose_beat,
    decay_onsets,
    locate_beat,
)

__all__ = ["MOVE", "WINDOW_S", "Key", "Moment", "Point", "Timeline", "frame_count"]

PREVIEW_S = 2.0  # a key shows the mean sentiment of this time after its arrival
MOVE = 0.14  # distance on the sentiment plane that makes a new key
CALM_HOLD_S, EXCITED_HOLD_S = (3.5, 11.0), (2.2, 5.5)  # shortest and longest stay at arousal -1 and +1
CALM_TRAVEL_S, EXCITED_TRAVEL_S = 3.0, 1.4  # duration of a change at arousal -1 and +1; shorter than the shortest stay
REACTION_S = 0.1  # live: a window is shown this long after its end, when its sentiment should be known
QUICK = 0.3  # live: share of a window in which sentiment and motion reach their new values, which they then keep
PASSAGE_TRAVEL_S = 1.0  # live: longest change where a passage begins, because its music already plays
BEAT_REACH_S = 1.0  # a key moves by at most this much to a downbeat or beat: half a bar at 120 beats a minute
BEAT_SURE = 0.5  # no key moves to a beat of lower certainty
BANDS = (1.0, 0.8, 0.6)  # share of onsets of the low, middle and high band in the push
ONSET = 0.55  # onset strength at which a change that is due soon happens now
PULSE_S = 0.6  # an onset's push decays to 1/e in this time
PUSH_ONSET = 0.4  # share of onsets in the push
BEAT_WINDOWS = round(LONGEST_BEAT_S / WINDOW_S)  # points kept to find the last beat
PHASE_REST, PHASE_LOUDNESS, PHASE_ONSET = 0.15, 0.8, 1.0  # rotation of the noise, radians per second


@dataclass(frozen=True)
class Point:
    """One window of the song: its start in seconds, and its analysis (see AffectPoint in the contract).

    Attributes:
        passage, section: as in the whole song, also where only a part is shown.
        certainty: (arousal, valence), [0.5, 1]; None if not known.
        rhythm: its times are seconds of the story; None if not heard.
    """

    time_s: float
    arousal: float
    valence: float
    loudness: float
    onset: float
    passage: int = 0
    section: int = 0
    certainty: tuple[float, float] | None = None
    rhythm: Rhythm | None = None

    def shift(self, by_s: float) -> "Point":
        """The same at a time so much later."""
        return replace(self, time_s=self.time_s + by_s, rhythm=self.rhythm and self.rhythm.shift(by_s))


@dataclass(frozen=True)
class Key:
    """A sentiment to show: the picture leaves the previous key at start_s and reaches this one at arrive_s.

    Attributes:
        section: of the passage that it shows.
        step: its place among the keys of the passage, from 0. Keys of equal section and step are kin.
    """

    index: int
    start_s: float
    arrive_s: float
    arousal: float
    valence: float
    section: int = 0
    step: int = 0


@dataclass(frozen=True)
class Moment:
    """What one frame shows.

    Attributes:
        arousal, valence: target of the frame, [-1, 1].
        left, right: indices of the keys it lies between (equal while a key is held).
        progress: position between them, eased, [0, 1].
        push: how far noise moves the picture, [0, 1], from loudness and the last onset.
        phase: rotation angle of the noise, radians; it grows faster with loudness and onsets.
        beat_phase, bar_phase: share of the beat and of the bar that has passed, [0, 1); 0 is on the beat, or
            none is heard.
        beat_certainty: how sure the beat is, [0, 1]; 0 where none is heard.
        onsets: envelope of onsets (low, middle, high), [0, 1]; live that of one window and REACTION_S ago.
        passage, section: of the music that is shown.
    """

    arousal: float
    valence: float
    left: int
    right: int
    progress: float
    push: float
    phase: float
    beat_phase: float = 0.0
    bar_phase: float = 0.0
    beat_certainty: float = 0.0
    onsets: tuple[float, float, float] = (0.0, 0.0, 0.0)
    passage: int = 0
    section: int = 0


def frame_count(sample_count: int, sample_rate_hz: int, rate: Fraction) -> int:
    """Number of frames of a song, rounded to the nearest."""
    return max(1, floor(Fraction(sample_count, sample_rate_hz) * rate + Fraction(1, 2)))


def between(calm: float, excited: float, arousal: float) -> float:
    """Interpolates linearly between values at arousal -1 (calm) and +1 (excited)."""
    return calm + (excited - calm) * (min(1.0, max(-1.0, arousal)) + 1) / 2


def smoothstep(x: float) -> float:
    """Eases [0, 1] to [0, 1], with derivative 0 at both ends."""
    x = min(1.0, max(0.0, x))
    return x * x * (3 - 2 * x)


def _weigh_bands(onsets: tuple[float, float, float]) -> float:
    """How strongly onsets of three bands move the picture, [0, 1]."""
    return max(share * onset for share, onset in zip(BANDS, onsets, strict=True))


class Timeline:
    """Plans keys while points are added, and computes moments before `ready_s`.

    Deterministic: equal points give equal moments, whenever they are added. Only a few seconds of points are kept.

    Args:
        look_ahead: True if later points are known before a frame is shown (offline): a change ends when the
            sentiment has changed. False (live): a change begins then. The first point is shown until the first window
            is analysed. Each later point takes effect REACTION_S after its window's end, until the next one does. So
            no moment depends on the window that it lies in, and late points do not change moments. Beats come from
            the forecast of the window that is shown.
        lag_s: delay of the points' sentiments behind the music, >= 0; compensated if look_ahead.
    """

    def __init__(self, *, look_ahead: bool, lag_s: float) -> None:
        self._look_ahead = look_ahead
        self._lag_s = lag_s if look_ahead else -(REACTION_S + WINDOW_S / 2)
        self.keys: deque[Key] = deque()
        self.points: deque[Point] = deque()
        self._pulses: deque[tuple[float, float]] = deque()  # pulse and phase at each point
        self._motions: deque[WindowMotion | None] = deque()  # of each point; None if it has no rhythm
        self._shown_after_s = 0.0 if look_ahead else REACTION_S  # from place * WINDOW_S to when the point is shown
        self._decided = 0  # number of points checked for a new key, from the start of the song
        self._first = 0  # number of points[0] in the song
        self.finished = False
        self._key_count = self._step = 0

    @property
    def ready_s(self) -> float:
        """Moments before this time are final."""
        if self.finished:
            return float("inf")
        if not self._look_ahead:
            return (self._first + len(self.points)) * WINDOW_S + REACTION_S
        return max(0.0, self._decided * WINDOW_S - CALM_TRAVEL_S)

    def add(self, point: Point) -> list[Key]:
        """Adds the next point; returns the keys that have become final, in order."""
        pulse, phase = self._pulses[-1] if self._pulses else (0.0, 0.0)
        pulse = max(point.onset, pulse * exp(-WINDOW_S / PULSE_S))
        steady = PHASE_REST + PHASE_LOUDNESS * point.loudness
        motion = None
        if point.rhythm is None:
            phase += (steady + PHASE_ONSET * point.onset) * WINDOW_S
        else:
            motion = self._move_window(point.rhythm, steady, phase)
            phase = motion.phases[-1]
        self._motions.append(motion)
        self._pulses.append((pulse, phase))
        self.points.append(point)
        return self._settle()

    def _move_window(self, rhythm: Rhythm, steady: float, phase: float) -> WindowMotion:
        """Motion within the next window: `steady` is the turn in radians per second without onsets."""
        before = self._motions[-1].onsets[-1] if self._motions and self._motions[-1] else (0.0, 0.0, 0.0)
        onsets, phases = decay_onsets(rhythm, before), [phase]
        for bands in onsets:
            phases.append(phases[-1] + (steady + PHASE_ONSET * _weigh_bands(bands)) * WINDOW_S / STEPS)
        return WindowMotion(onsets, phases)

    def finish(self) -> list[Key]:
        """Ends the song; returns the last keys."""
        self.finished = True
        return self._settle()

    def _settle(self) -> list[Key]:
        known = self._first + len(self.points)
        reserve = round((self._lag_s + PREVIEW_S) / WINDOW_S) if self._look_ahead and not self.finished else 0
        settled = []
        while self._decided < known - reserve:
            for key in self._decide_keys(self._decided):
                self.keys.append(key)
                self._key_count += 1
                settled.append(key)
            self._decided += 1
        return settled

    def _decide_keys(self, place: int) -> Iterable[Key]:
        """The new keys that are due at point number `place`, in order."""
        key = self._decide_key(place)
        return () if key is None else (key,)

    def _decide_key(self, place: int) -> Key | None:
        """A new key at point number `place`, if one is due there."""
        arousal, valence = self._preview(place)
        section = self._point(place).section
        if not self.keys:
            return Key(0, 0.0, 0.0, arousal, valence, section)
        if place > self._first and self._point(place).passage != self._point(place - 1).passage:
            start_s, arrive_s = self._time_passage(place, arousal)
            self._step = 0
        elif self._is_due(place, arousal, valence):
            start_s, arrive_s = self._time_change(place, arousal)
            self._step += 1
        else:
            return None
        return Key(self._key_count, start_s, arrive_s, arousal, valence, section, self._step)

    def _is_due(self, place: int, arousal: float, valence: float) -> bool:
        """Whether the picture changes within a passage: the sentiment has moved, or has been the same for long."""
        last, onset = self.keys[-1], self._point(place).onset
        shortest = between(CALM_HOLD_S[0], EXCITED_HOLD_S[0], arousal)
        longest = between(CALM_HOLD_S[1], EXCITED_HOLD_S[1], arousal)
        stayed = self._time(place) - last.arrive_s
        moved = hypot(arousal - last.arousal, valence - last.valence) > MOVE
        due = stayed >= longest or (stayed >= 0.7 * longest and onset >= ONSET)
        if stayed < shortest or not (moved or due):
            return False
        soon = place + round(PREVIEW_S / WINDOW_S)  # a passage that begins before it changes the picture anyway
        return not self._look_ahead or self._point(soon).passage == self._point(place).passage

    def _time(self, place: int) -> float:
        """When point number `place` begins to be shown."""
        return place * WINDOW_S + self._shown_after_s

    def _time_passage(self, place: int, arousal: float) -> tuple[float, float]:
        """Start and end of the change to a passage that begins at a point: it ends there; live it begins there."""
        time_s, last_s = self._time(place), self.keys[-1].arrive_s
        travel = between(CALM_TRAVEL_S, EXCITED_TRAVEL_S, arousal)
        if self._look_ahead:
            return min(time_s, max(last_s, time_s - travel)), time_s
        start_s = max(last_s, time_s)
        return start_s, start_s + min(travel, PASSAGE_TRAVEL_S)

    def _time_change(self, place: int, arousal: float) -> tuple[float, float]:
        """Start and end of a change within a passage: offline it ends on a beat nearby, live it begins on one."""
        time_s, last_s = self._time(place), self.keys[-1].arrive_s
        shortest = between(CALM_HOLD_S[0], EXCITED_HOLD_S[0], arousal)
        travel = min(between(CALM_TRAVEL_S, EXCITED_TRAVEL_S, arousal), shortest)
        if not self._look_ahead:
            start_s = choose_beat(self._forecast(place), time_s, time_s, time_s + BEAT_REACH_S, BEAT_SURE)
            return start_s, start_s + travel
        earliest_s = max(time_s - BEAT_REACH_S, last_s + travel)
        arrive_s = choose_beat(
            self._beats_around(time_s, BEAT_REACH_S), time_s, earliest_s, time_s + BEAT_REACH_S, BEAT_SURE
        )
        return max(last_s, arrive_s - travel, time_s - CALM_TRAVEL_S), arrive_s

    def _preview(self, place: int) -> tuple[float, float]:
        """Mean sentiment of PREVIEW_S from a point on, in its passage; live, the sentiment of the point itself."""
        if not self._look_ahead:
            return self._point(place).arousal, self._point(place).valence
        passage, ahead = self._point(place).passage, place + round(self._lag_s / WINDOW_S)
        seen = [self._point(ahead + step) for step in range(round(PREVIEW_S / WINDOW_S))]
        seen = [point for point in seen if point.passage == passage]
        seen = seen or [self._point(self._stay_in_passage(ahead, passage))]
        return sum(p.arousal for p in seen) / len(seen), sum(p.valence for p in seen) / len(seen)

    def _stay_in_passage(self, place: int, passage: int) -> int:
        """Number of the point of a passage that is nearest to point number `place`."""
        while place > self._first and self._point(place).passage > passage:
            place -= 1
        while place < self._first + len(self.points) - 1 and self._point(place).passage < passage:
            place += 1
        return place

    def _point(self, place: int) -> Point:
        """Point number `place`, or the nearest one that is kept."""
        return self.points[self._slot(place)]

    def moment(self, time_s: float) -> Moment:
        """What is shown at a time < ready_s that is not before the last forget()."""
        left = right = self.keys[0]
        for key in self.keys:
            if key.start_s > time_s:
                break
            left, right = (left, key) if key.arrive_s > time_s else (key, key)
        travel = right.arrive_s - right.start_s
        progress = smoothstep((time_s - right.start_s) / travel) if left is not right else 0.0
        place = floor((time_s - self._shown_after_s) / WINDOW_S)
        shown, motion = self._point(place), self._motions[self._slot(place)]
        arousal, valence = self._sentiment(time_s + self._lag_s, shown.passage)
        push, phase = self._move(time_s if self._look_ahead else time_s + self._lag_s, coarse=motion is None)
        onsets = (0.0, 0.0, 0.0)
        if motion is not None:
            offset_s = time_s - self._time(place)
            onsets, phase = motion.onsets_at(offset_s), motion.phase_at(offset_s)
            push += PUSH_ONSET * _weigh_bands(onsets)
        beats = self._beats_around(time_s, LONGEST_BEAT_S) if self._look_ahead else self._forecast(place)
        beat = locate_beat(time_s, beats, shown.rhythm.tempo if shown.rhythm else None)
        return Moment(
            arousal,
            valence,
            left.index,
            right.index,
            progress,
            push,
            phase,
            beat.beat_phase,
            beat.bar_phase,
            beat.certainty,
            onsets,
            shown.passage,
            shown.section,
        )

    def _slot(self, place: int) -> int:
        """Where point number `place`, or the nearest one that is kept, lies in `points`."""
        return min(max(place - self._first, 0), len(self.points) - 1)

    def _beats_around(self, time_s: float, reach_s: float) -> list[Beat]:
        """Beats at most a reach before or after a time, in order."""
        first, last = (self._slot(floor((time_s + sign * reach_s) / WINDOW_S)) for sign in (-1, 1))
        kept = (self.points[slot].rhythm for slot in range(first, last + 1))
        return [beat for rhythm in kept if rhythm is not None for beat in rhythm.beats]

    def _forecast(self, place: int) -> list[Beat]:
        """Live: beats up to the window of point number `place`, then those that it expects."""
        slot = self._slot(place)
        rhythm = self.points[slot].rhythm
        if rhythm is None:
            return []
        kept = (self.points[one].rhythm for one in range(max(0, slot - BEAT_WINDOWS), slot + 1))
        return [beat for one in kept if one is not None for beat in one.beats] + list(rhythm.forecast)

    def _bracket(self, time_s: float) -> tuple[int, float]:
        """Number of the last point whose middle is at or before a time, and the share of the way to the next."""
        at = max(0.0, time_s / WINDOW_S - 0.5)
        return floor(at), at - floor(at)

    def _ease_share(self, share: float) -> float:
        """How far values have moved to the next point; live they move faster, because its window has passed."""
        return share if self._look_ahead else min(1.0, share / QUICK)

    def _sentiment(self, time_s: float, passage: int) -> tuple[float, float]:
        place, share = self._bracket(time_s)
        share, following = self._ease_share(share), place + 1
        if self._look_ahead:
            place, following = (self._stay_in_passage(one, passage) for one in (place, following))
        a, b = self._point(place), self._point(following)
        return a.arousal + (b.arousal - a.arousal) * share, a.valence + (b.valence - a.valence) * share

    def _move(self, time_s: float, *, coarse: bool) -> tuple[float, float]:
        """Push and phase from two points a second; the push of onsets only if they are not known more finely."""
        place, share = self._bracket(time_s)
        pulse, phase = self._pulses[self._slot(place)]
        next_pulse, next_phase = self._pulses[self._slot(place + 1)]
        reached, loudness = self._ease_share(share), self._point(place).loudness
        loudness += (self._point(place + 1).loudness - loudness) * reached
        push = 0.25 + 0.35 * loudness
        if coarse:
            push += PUSH_ONSET * (pulse + (next_pulse - pulse) * reached)
        return push, phase + (next_phase - phase) * share

    def forget(self, time_s: float) -> None:
        """Deletes keys and points that no moment at or after a time needs."""
        while len(self.keys) > 1 and self.keys[1].arrive_s <= time_s:
            self.keys.popleft()
        spare = floor(time_s / WINDOW_S) - BEAT_WINDOWS - 2
        while self._first < spare and len(self.points) > 2:
            self.points.popleft()
            self._pulses.popleft()
            self._motions.popleft()
            self._first += 1
