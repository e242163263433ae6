"""Where a moment lies between beats and in the bar, and how strongly notes have just set in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp

__all__ = [
    "LONGEST_BEAT_S",
    "STEPS",
    "WINDOW_S",
    "Beat",
    "BeatPlace",
    "Rhythm",
    "Tempo",
    "WindowMotion",
    "choose_beat",
    "decay_onsets",
    "locate_beat",
]

WINDOW_S = 0.5  # one point
STEPS = 50  # onset strengths of one window, 10 ms each
LONGEST_BEAT_S = 3.0  # 20 beats a minute; beats that are further apart do not belong together
DECAY = exp(-WINDOW_S / STEPS / 0.2)  # an onset's envelope decays to 1/e in 0.2 s


@dataclass(frozen=True, slots=True)
class Beat:
    """A beat: time in seconds of the story, place in the bar (1 is the downbeat, 0 not known), certainty [0, 1]."""

    time_s: float
    position: int
    certainty: float


@dataclass(frozen=True)
class Tempo:
    """Tempo and metre; beats_per_bar is 0 if no bar is heard; certainty is in [0, 1]."""

    beats_per_minute: float
    beats_per_bar: int
    certainty: float


@dataclass(frozen=True)
class Rhythm:
    """Onsets, beats and tempo of one window; see Rhythm in the contract.

    Attributes:
        low, middle, high: onset strength of a band, one byte for every 10 ms.
        beats: in the window, in order.
        forecast: beats expected after it; empty unless the song is heard live.
    """

    low: bytes
    middle: bytes
    high: bytes
    beats: tuple[Beat, ...] = ()
    forecast: tuple[Beat, ...] = ()
    tempo: Tempo | None = None

    def shift(self, by_s: float) -> "Rhythm":
        """The same with beats so much later."""
        beats, forecast = (
            tuple(replace(beat, time_s=beat.time_s + by_s) for beat in heard) for heard in (self.beats, self.forecast)
        )
        return replace(self, beats=beats, forecast=forecast)


@dataclass(frozen=True)
class BeatPlace:
    """Where a time lies: the share of its beat and of its bar that has passed, [0, 1), and how sure that is, [0, 1]."""

    beat_phase: float = 0.0
    bar_phase: float = 0.0
    certainty: float = 0.0


@dataclass(frozen=True)
class WindowMotion:
    """Motion within one window, every 10 ms: STEPS envelopes (low, middle, high), and STEPS + 1 phases in radians."""

    onsets: Sequence[tuple[float, float, float]]
    phases: Sequence[float]

    def onsets_at(self, offset_s: float) -> tuple[float, float, float]:
        """The envelopes at a time after the start of the window."""
        return self.onsets[min(STEPS - 1, max(0, int(offset_s / WINDOW_S * STEPS + 1e-6)))]

    def phase_at(self, offset_s: float) -> float:
        """The phase at a time after the start of the window."""
        place = min(float(STEPS), max(0.0, offset_s / WINDOW_S * STEPS))
        below = min(STEPS - 1, int(place))
        return self.phases[below] + (self.phases[below + 1] - self.phases[below]) * (place - below)


def decay_onsets(rhythm: Rhythm, before: tuple[float, float, float]) -> list[tuple[float, float, float]]:
    """Peak envelopes of a window's onsets: each onset rises at once and decays.

    Args:
        rhythm: of the window.
        before: the envelopes at the end of the window before, [0, 1] each.

    Returns:
        STEPS triples (low, middle, high), [0, 1]; onsets that are missing count as 0.
    """
    envelopes = []
    bands = (band[:STEPS].ljust(STEPS, b"\0") for band in (rhythm.low, rhythm.middle, rhythm.high))
    for low, middle, high in zip(*bands, strict=True):
        before = (
            max(low / 255, before[0] * DECAY),
            max(middle / 255, before[1] * DECAY),
            max(high / 255, before[2] * DECAY),
        )
        envelopes.append(before)
    return envelopes


def locate_beat(time_s: float, beats: Iterable[Beat], tempo: Tempo | None) -> BeatPlace:
    """Where a time lies between the beats around it.

    Args:
        time_s: the time.
        beats: in order of time.
        tempo: around this time; says how long the last beat is, and the length of the bar. None is no beat.

    Returns:
        All zeros before the first beat, and where the next one does not follow within LONGEST_BEAT_S.
    """
    last = following = None
    for beat in beats:
        if beat.time_s > time_s:
            following = beat
            break
        last = beat
    if last is None:
        return BeatPlace()
    length_s, certainty = 0.0, last.certainty
    if following is not None and following.time_s - last.time_s <= LONGEST_BEAT_S:
        length_s, certainty = following.time_s - last.time_s, min(certainty, following.certainty)
    elif tempo is not None:
        length_s = 60 / tempo.beats_per_minute
    phase = (time_s - last.time_s) / length_s if length_s else 1.0
    if phase >= 1:
        return BeatPlace()
    per_bar = tempo.beats_per_bar if tempo is not None else 0
    bar_phase = ((last.position - 1) % per_bar + phase) / per_bar if per_bar and last.position else 0.0
    return BeatPlace(phase, bar_phase, certainty)


def choose_beat(beats: Iterable[Beat], time_s: float, earliest_s: float, latest_s: float, sure: float) -> float:
    """Time of the downbeat, else of the beat, that is nearest to a time within limits; the time itself if none is.

    Args:
        beats: in order of time.
        time_s: where a beat is wanted.
        earliest_s: the first time that is allowed.
        latest_s: the last time that is allowed.
        sure: beats of lower certainty do not count.
    """
    near = [beat for beat in beats if earliest_s <= beat.time_s <= latest_s and beat.certainty >= sure]
    downbeats = [beat for beat in near if beat.position == 1]
    return min((beat.time_s for beat in downbeats or near), key=lambda one: (abs(one - time_s), one), default=time_s)
