"""Onsets, beats and tempo of every half second of a stream, equal for any chunk sizes, within bounded memory."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.feature_extractor import WINDOW_SAMPLES, WindowCutter
from services.audio_sentiment.rhythm.activation import BeatActivation, BeatNetwork
from services.audio_sentiment.rhythm.bar_model import BarModel, Place
from services.audio_sentiment.rhythm.onsets import ONSET_BANDS, ONSET_RATE_HZ, OnsetStream
from services.audio_sentiment.rhythm.spectrum import FRAME_RATE_HZ, SpectrumStream

__all__ = ["FORECAST_FRAMES", "LOOK_AHEAD_FRAMES", "Beat", "RhythmTracker", "RhythmWindow", "Tempo"]

F32 = NDArray[np.float32]
Course = list[tuple[int, Place]]  # frames at which beats begin

WINDOW_FRAMES = FRAME_RATE_HZ // 2
WINDOW_ONSETS = ONSET_RATE_HZ // 2
FRAME_US = 1_000_000 // FRAME_RATE_HZ
LIVE_LAG = 2  # frames at the end of a window whose spectrum needs later samples
LEAD_FRAMES = 3  # before a beat sounds, live, it is decided
REFINE_FRAMES = 2
ONSET_DELAY = 2  # onset frames by which a strength trails its note; live nothing can be done about it
STEADY, ALIKE = 0.06, 0.25  # relative differences of intervals
LOOK_AHEAD_FRAMES = 12 * FRAME_RATE_HZ  # with the whole song at hand
FORECAST_FRAMES = 2 * FRAME_RATE_HZ
NEAR_FRAMES = 4 * FRAME_RATE_HZ  # beats so near tell the tempo and the certainty of a beat
MEMORY_FRAMES = LOOK_AHEAD_FRAMES + NEAR_FRAMES + 2 * WINDOW_FRAMES
LEAST_CERTAINTY = 0.3  # a beat less sure than this is not one
LEAST_BEATS = 4  # for a tempo
LEAST_SPACING = 0.5  # of the interval
CERTAINTY_SLOPE, CERTAINTY_MIDDLE = 9.0, 0.28  # logistic function of the shares at the beats near, less their mean


@dataclass(frozen=True)
class Beat:
    """A beat: microseconds from the start of the song; place in the bar (1 the downbeat, 0 unknown); [0, 1]."""

    time_us: int
    position: int
    certainty: float


@dataclass(frozen=True)
class Tempo:
    """Beats a minute, beats in a bar (0 unknown), and the share of like beats that are right, [0, 1]."""

    beats_per_minute: float
    beats_per_bar: int
    certainty: float


@dataclass(frozen=True)
class RhythmWindow:
    """The rhythm of one half second.

    Attributes:
        onsets: (WINDOW_ONSETS, ONSET_BANDS), 0 to 255, low, middle and high band; fewer rows at the end of the song.
        beats: in order; live as they were expected before they sounded.
        forecast: live only, the beats expected in the FORECAST_FRAMES after the window.
        tempo: None where no beat is heard.
    """

    onsets: NDArray[np.uint8]
    beats: tuple[Beat, ...]
    forecast: tuple[Beat, ...]
    tempo: Tempo | None


class RhythmTracker:
    """Takes samples in pieces of any size and yields windows as soon as they are decided.

    Args:
        network: the beat networks' session.
        live: True decides each window at its end; False up to LOOK_AHEAD_FRAMES later.
    """

    def __init__(self, network: BeatNetwork, live: bool) -> None:
        self._live = live
        self._spectrum = SpectrumStream()
        self._activation = BeatActivation(network)
        self._onset_stream = OnsetStream()
        self._bars = BarModel(MEMORY_FRAMES)
        self._shares: deque[float] = deque(maxlen=MEMORY_FRAMES)  # beat or downbeat, of the latest frames
        self._cutter = WindowCutter()
        self._onsets: NDArray[np.uint8] = np.empty((0, ONSET_BANDS), np.uint8)
        self._committed: deque[tuple[int, Place]] = deque(maxlen=32)  # live: the latest beats that were expected
        self._course: Course = []  # whole: beats of the most likely course
        self._last_beat = -FRAME_RATE_HZ  # frame of the latest beat that was yielded
        self._onset_delay = 0 if live else ONSET_DELAY  # frames to leave out, so that onsets do not trail the sound
        self._window_count = 0
        self._sample_count = 0  # read

    @property
    def window_count(self) -> int:
        """Windows yielded so far."""
        return self._window_count

    def push(self, samples: F32) -> Iterator[RhythmWindow]:
        """Takes the next samples at SAMPLE_RATE_HZ, mono, any number; yields the windows that are decided."""
        for head in self._cutter.push(samples):
            self._read(head)
            yield from self._decide_windows(self._bars.frame_count)

    def finish(self, window_count: int) -> Iterator[RhythmWindow]:
        """Yields the remaining windows up to `window_count`; after it, nothing may be pushed."""
        left = self._cutter.drain()
        missing = max(0, window_count * WINDOW_SAMPLES + WINDOW_SAMPLES - self._sample_count - left.size)
        self._read(np.concatenate([left, np.zeros(missing, np.float32)]), until=window_count)
        if not self._live:
            self._course = self._bars.trace(0)
        while self._window_count < window_count:
            yield self._decide_window()

    def _read(self, samples: F32, until: int | None = None) -> None:
        """Takes samples into all that hears them; `until`, in windows, ends the frames at the end of the song."""
        self._sample_count += samples.size
        clean = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        onsets = self._onset_stream.push(clean)
        self._onsets = np.concatenate([self._onsets, onsets[self._onset_delay :]])
        self._onset_delay -= min(self._onset_delay, len(onsets))
        shares = self._activation.push(self._spectrum.push(clean))
        if until is not None:
            shares = shares[: max(0, until * WINDOW_FRAMES - self._bars.frame_count)]
        for beat, downbeat in shares.tolist():
            self._bars.step(beat, downbeat)
            self._shares.append(beat + downbeat)
            if self._live:
                self._expect()

    def _expect(self) -> None:
        """Commits the next beat once it is LEAD_FRAMES away."""
        place, now = self._bars.locate(), self._bars.frame_count - 1
        wait = place.interval - place.position
        if wait <= LEAD_FRAMES and now + wait - self._last_beat > LEAST_SPACING * place.interval:
            self._last_beat = now + wait
            following = Place(place.metre, (place.beat + 1) % place.metre, place.interval, 0)
            self._committed.append((now + wait, following))

    def _decide_windows(self, frame_count: int) -> Iterator[RhythmWindow]:
        """Yields the windows that can be decided from so many frames."""
        ahead = -LIVE_LAG if self._live else LOOK_AHEAD_FRAMES
        while (self._window_count + 1) * WINDOW_FRAMES + ahead < frame_count:
            if not self._live:
                self._course = self._bars.trace(self._window_count * WINDOW_FRAMES - NEAR_FRAMES)
            yield self._decide_window()

    def _decide_window(self) -> RhythmWindow:
        """Decides the next window."""
        start = self._window_count * WINDOW_FRAMES
        stop = start + WINDOW_FRAMES
        known = list(self._committed) if self._live else self._course
        near = [beat for beat in known if start - NEAR_FRAMES <= beat[0] < stop + NEAR_FRAMES]
        certainty = self._rate_beats(near)
        heard = certainty >= LEAST_CERTAINTY
        beats = tuple(self._describe(*beat, certainty) for beat in self._select(near, start, stop)) if heard else ()
        onsets, self._onsets = self._onsets[:WINDOW_ONSETS], self._onsets[WINDOW_ONSETS:]
        forecast = self._forecast(near, stop, certainty) if heard and self._live else ()
        self._window_count += 1
        tempo = _measure_tempo(near, certainty) if heard else None
        return RhythmWindow(onsets, beats, forecast, tempo)

    def _select(self, near: Course, start: int, stop: int) -> Iterator[tuple[int, Place]]:
        """The beats of a window. A whole course may still move a beat into it or out of it."""
        for frame, place in near:
            if self._live:
                if start <= frame < stop:
                    yield frame, place
            elif frame < stop and frame - self._last_beat > LEAST_SPACING * place.interval and frame >= start - 5:
                self._last_beat = frame
                yield max(frame, start), place

    def _describe(self, frame: int, place: Place, certainty: float) -> Beat:
        """A beat; with the song at hand its time is refined between the frames around it."""
        time_us = frame * FRAME_US if self._live else round(self._refine(frame) * FRAME_US)
        window = frame // WINDOW_FRAMES * WINDOW_FRAMES * FRAME_US
        inside = min(max(time_us, window), window + WINDOW_FRAMES * FRAME_US - 1)
        return Beat(inside, place.beat + 1, round(certainty, 3))

    def _refine(self, frame: int) -> float:
        """The peak of the networks' shares within REFINE_FRAMES, between frames by a parabola."""
        oldest = self._bars.frame_count - len(self._shares)
        first = max(frame - REFINE_FRAMES, oldest)
        around = [
            self._shares[i - oldest] for i in range(first, min(frame + REFINE_FRAMES + 1, self._bars.frame_count))
        ]
        if len(around) < 2 * REFINE_FRAMES + 1:
            return float(frame)
        peak = int(np.argmax(around))
        if not 0 < peak < len(around) - 1:
            return float(frame)
        before, top, after = around[peak - 1 : peak + 2]
        bend = before - 2.0 * top + after
        return first + peak + (0.5 * (before - after) / bend if bend < 0.0 else 0.0)

    def _rate_beats(self, near: Course) -> float:
        """How sure beats are: the networks' shares at the beats near, above those between them."""
        oldest = self._bars.frame_count - len(self._shares)
        frames = [frame - oldest for frame, _ in near if 1 <= frame - oldest < len(self._shares) - 1]
        if len(frames) < LEAST_BEATS:
            return 0.0
        shares = self._shares
        peak = float(np.mean([max(shares[i - 1], shares[i], shares[i + 1]) for i in frames]))
        between = float(np.mean([shares[i] for i in range(frames[0], frames[-1] + 1)]))
        return float(1.0 / (1.0 + np.exp(-CERTAINTY_SLOPE * (peak - between - CERTAINTY_MIDDLE))))

    def _forecast(self, near: Course, stop: int, certainty: float) -> tuple[Beat, ...]:
        """The beats expected after the window, by the latest one and the mean of the latest intervals."""
        frame, place = near[-1]
        frames = [beat for beat, _ in near[-5:]]
        mean = (frames[-1] - frames[0]) / (len(frames) - 1)
        interval = mean if abs(mean / place.interval - 1.0) < STEADY else float(place.interval)
        found: list[Beat] = []
        step = 0
        while (expected := frame + step * interval) < stop + FORECAST_FRAMES:
            if expected >= stop:
                found.append(
                    Beat(round(expected * FRAME_US), (place.beat + step) % place.metre + 1, round(certainty, 3))
                )
            step += 1
        return tuple(found)


def _measure_tempo(near: Course, certainty: float) -> Tempo | None:
    """The tempo of beats that are near: the mean of the intervals that are like the median one."""
    if len(near) < LEAST_BEATS:
        return None
    intervals = np.diff([frame for frame, _ in near])
    middle = float(np.median(intervals))
    alike = intervals[np.abs(intervals / middle - 1.0) < ALIKE]
    alike = alike if len(alike) else intervals
    metre = near[-1][1].metre
    return Tempo(round(60.0 * FRAME_RATE_HZ / float(alike.mean()), 2), metre, round(certainty, 3))
