"""Turns sentiments, two a second, into what every video frame shows.

Source: Passalis & Doropoulos (2021), section 3.4.
Differs: concepts change when the smoothed sentiment has clearly moved (the original changes every 5 s), the latent
travels along a path between two of them (the original cross-fades pictures), and offline a change of the picture ends
when the sentiment has changed (the original is two seconds late).
"""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from math import exp, floor, hypot

__all__ = ["Key", "Moment", "Point", "Timeline", "frame_count"]

WINDOW_S = 0.5  # one point
PREVIEW_S = 2.0  # a key shows the mean sentiment of this time after its arrival
MOVE = 0.14  # distance on the sentiment plane that makes a new key
CALM_HOLD_S, EXCITED_HOLD_S = (3.5, 11.0), (2.2, 5.5)  # shortest and longest stay at arousal -1 and +1
CALM_TRAVEL_S, EXCITED_TRAVEL_S = 3.0, 1.4  # duration of a change at arousal -1 and +1; shorter than the shortest stay
REACTION_S = 0.1  # live: a window is shown this long after its end, when its sentiment should be known
QUICK = 0.3  # live: share of a window in which sentiment and motion reach their new values, which they then keep
ONSET = 0.55  # onset strength at which a change that is due soon happens now
PULSE_S = 0.6  # an onset's push decays to 1/e in this time
PHASE_REST, PHASE_LOUDNESS, PHASE_ONSET = 0.15, 0.8, 1.0  # rotation of the noise, radians per second


@dataclass(frozen=True)
class Point:
    """One window of the song: its start in seconds, and its analysis (see AffectPoint in the contract)."""

    time_s: float
    arousal: float
    valence: float
    loudness: float
    onset: float


@dataclass(frozen=True)
class Key:
    """A sentiment to show: the picture leaves the previous key at start_s and reaches this one at arrive_s."""

    index: int
    start_s: float
    arrive_s: float
    arousal: float
    valence: float


@dataclass(frozen=True)
class Moment:
    """What one frame shows.

    Attributes:
        arousal, valence: target of the frame, [-1, 1].
        left, right: indices of the keys it lies between (equal while a key is held).
        progress: position between them, eased, [0, 1].
        push: how far noise moves the picture, [0, 1], from loudness and the last onset.
        phase: rotation angle of the noise, radians; it grows faster with loudness and onsets.
    """

    arousal: float
    valence: float
    left: int
    right: int
    progress: float
    push: float
    phase: float


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


class Timeline:
    """Plans keys while points are added, and computes moments before `ready_s`.

    Deterministic: equal points give equal moments, whenever they are added. Only a few seconds of points are kept.

    Args:
        look_ahead: True if later points are known before a frame is shown (offline): a change ends when the
            sentiment has changed. False (live): a change begins then. The first point is shown until the first window
            is analysed. Each later point takes effect REACTION_S after its window's end, until the next one does. So
            no moment depends on the window that it lies in, and late points do not change moments.
        lag_s: delay of the points' sentiments behind the music, >= 0; compensated if look_ahead.
    """

    def __init__(self, *, look_ahead: bool, lag_s: float) -> None:
        self._look_ahead = look_ahead
        self._lag_s = lag_s if look_ahead else -(REACTION_S + WINDOW_S / 2)
        self.keys: deque[Key] = deque()
        self.points: deque[Point] = deque()
        self._pulses: deque[tuple[float, float]] = deque()  # pulse and phase at each point
        self._decided = 0  # number of points checked for a new key, from the start of the song
        self._first = 0  # number of points[0] in the song
        self.finished = False
        self._key_count = 0

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
        turn = PHASE_REST + PHASE_LOUDNESS * point.loudness + PHASE_ONSET * point.onset
        self._pulses.append((pulse, phase + turn * WINDOW_S))
        self.points.append(point)
        return self._settle()

    def finish(self) -> list[Key]:
        """Ends the song; returns the last keys."""
        self.finished = True
        return self._settle()

    def _settle(self) -> list[Key]:
        known = self._first + len(self.points)
        reserve = round((self._lag_s + PREVIEW_S) / WINDOW_S) if self._look_ahead and not self.finished else 0
        settled = []
        while self._decided < known - reserve:
            key = self._decide_key(self._decided)
            self._decided += 1
            if key is not None:
                self.keys.append(key)
                self._key_count += 1
                settled.append(key)
        return settled

    def _decide_key(self, place: int) -> Key | None:
        """A new key at point number `place`, if one is due there."""
        time_s = place * WINDOW_S + (0.0 if self._look_ahead else REACTION_S)
        arousal, valence = self._preview(place)
        if not self.keys:
            return Key(0, 0.0, 0.0, arousal, valence)
        last, onset = self.keys[-1], self._point(place).onset
        shortest = between(CALM_HOLD_S[0], EXCITED_HOLD_S[0], arousal)
        longest = between(CALM_HOLD_S[1], EXCITED_HOLD_S[1], arousal)
        stayed = time_s - last.arrive_s
        moved = hypot(arousal - last.arousal, valence - last.valence) > MOVE
        due = stayed >= longest or (stayed >= 0.7 * longest and onset >= ONSET)
        if stayed < shortest or not (moved or due):
            return None
        travel = min(between(CALM_TRAVEL_S, EXCITED_TRAVEL_S, arousal), shortest)
        start_s = max(last.arrive_s, time_s - travel) if self._look_ahead else time_s
        arrive_s = time_s if self._look_ahead else time_s + travel
        return Key(self._key_count, start_s, arrive_s, arousal, valence)

    def _preview(self, place: int) -> tuple[float, float]:
        """Mean sentiment of PREVIEW_S from a point on; live, the sentiment of the point itself."""
        length = round(PREVIEW_S / WINDOW_S) if self._look_ahead else 1
        ahead = round(self._lag_s / WINDOW_S) if self._look_ahead else 0
        seen = [self._point(place + ahead + step) for step in range(length)]
        return sum(p.arousal for p in seen) / length, sum(p.valence for p in seen) / length

    def _point(self, place: int) -> Point:
        """Point number `place`, or the nearest one that is kept."""
        return self.points[min(max(place - self._first, 0), len(self.points) - 1)]

    def moment(self, time_s: float) -> Moment:
        """What is shown at a time < ready_s that is not before the last forget()."""
        left = right = self.keys[0]
        for key in self.keys:
            if key.start_s > time_s:
                break
            left, right = (left, key) if key.arrive_s > time_s else (key, key)
        travel = right.arrive_s - right.start_s
        progress = smoothstep((time_s - right.start_s) / travel) if left is not right else 0.0
        arousal, valence = self._sentiment(time_s + self._lag_s)
        push, phase = self._motion(time_s if self._look_ahead else time_s + self._lag_s)
        return Moment(arousal, valence, left.index, right.index, progress, push, phase)

    def _bracket(self, time_s: float) -> tuple[int, float]:
        """Number of the last point whose middle is at or before a time, and the share of the way to the next."""
        at = max(0.0, time_s / WINDOW_S - 0.5)
        return floor(at), at - floor(at)

    def _ease_share(self, share: float) -> float:
        """How far values have moved to the next point; live they move faster, because its window has passed."""
        return share if self._look_ahead else min(1.0, share / QUICK)

    def _sentiment(self, time_s: float) -> tuple[float, float]:
        place, share = self._bracket(time_s)
        share = self._ease_share(share)
        a, b = self._point(place), self._point(place + 1)
        return a.arousal + (b.arousal - a.arousal) * share, a.valence + (b.valence - a.valence) * share

    def _motion(self, time_s: float) -> tuple[float, float]:
        place, share = self._bracket(time_s)
        last = len(self._pulses) - 1
        pulse, phase = self._pulses[min(max(place - self._first, 0), last)]
        next_pulse, next_phase = self._pulses[min(max(place + 1 - self._first, 0), last)]
        reached, loudness = self._ease_share(share), self._point(place).loudness
        loudness += (self._point(place + 1).loudness - loudness) * reached
        push = 0.25 + 0.35 * loudness + 0.4 * (pulse + (next_pulse - pulse) * reached)
        return push, phase + (next_phase - phase) * share

    def forget(self, time_s: float) -> None:
        """Deletes keys and points that no moment at or after a time needs."""
        while len(self.keys) > 1 and self.keys[1].arrive_s <= time_s:
            self.keys.popleft()
        spare = floor(time_s / WINDOW_S) - 2
        while self._first < spare and len(self.points) > 2:
            self.points.popleft()
            self._pulses.popleft()
            self._first += 1
