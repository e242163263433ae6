"""Follows beats and bars: the most likely course of a pointer that runs through bars at a changing tempo.

Source: the bar pointer model (Whiteley, Cemgil & Godsill 2006) with the states and transitions of Krebs, Böck & Widmer
(2015). A state is a metre, a beat of the bar, a beat period and a position in the beat; the pointer moves one position a
frame, and the period may change at beats only. Differs: the metre may change at downbeats, and beats are decided within
a bounded time instead of at the end, from the best course so far.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.rhythm.spectrum import FRAME_RATE_HZ

__all__ = ["BarTracker", "TrackedBeat"]

F32 = NDArray[np.float32]

SHORTEST_PERIOD, LONGEST_PERIOD = 13, 58  # frames of a beat: 231 to 52 beats a minute
METRES = (3, 4)  # beats in a bar
STEADINESS = 100.0  # of the tempo: log probability lost for a relative change of the period
METRE_CHANGE = -7.0  # log probability of another metre at a downbeat
BEAT_SHARE = 16  # a beat is heard in the first 1/16 of its period
FARTHEST_STEP = 6  # frames by which the period changes at most from one beat to the next
FLOOR = 1e-4  # of the networks' probabilities
HISTORY = 700  # frames for which predecessors are kept


@dataclass(frozen=True)
class TrackedBeat:
    """A beat of the best course: its frame, its place in the bar (1 is the downbeat), its period in frames."""

    frame: int
    position: int
    period: int
    beats_per_bar: int


class BarTracker:
    """Takes the networks' probabilities frame by frame and knows the best course up to now.

    Scores of the states lie in rings: for each row (a beat of a metre) and each period one value for each position, which
    stays in its slot while the pointer moves. So a frame touches only the states that hear a beat, or begin one; all
    others lose the same and are left alone.
    """

    def __init__(self) -> None:
        periods = np.arange(SHORTEST_PERIOD, LONGEST_PERIOD + 1)
        self._periods, self._bases = periods, np.cumsum(periods) - periods
        self._metres = np.repeat(METRES, METRES)  # of each row
        self._places = np.concatenate([np.arange(metre) for metre in METRES])
        self._downbeats = np.cumsum([0, *METRES[:-1]])
        starts = np.repeat(self._downbeats, METRES)
        self._previous = starts + (self._places - 1) % self._metres
        widths = np.maximum(1, np.ceil(periods / BEAT_SHARE)).astype(int)
        self._heard_of = np.repeat(np.arange(len(periods)), widths)  # for each state that hears a beat: its period …
        self._heard_at = np.concatenate([np.arange(width) for width in widths])  # … and position
        steps = np.arange(-FARTHEST_STEP, FARTHEST_STEP + 1)
        from_periods = np.arange(len(periods))[:, None] + steps  # for each period: those it may come from
        possible = (from_periods >= 0) & (from_periods < len(periods))
        self._from = np.clip(from_periods, 0, len(periods) - 1)
        change = np.exp(-STEADINESS * np.abs(periods[:, None] / periods[self._from] - 1.0)) * possible
        total = np.zeros(len(periods))
        np.add.at(total, self._from, change)
        cost = np.log(np.maximum(change / total[self._from], 1e-30))
        self._cost = np.where(possible, cost, -1e9).astype(np.float32)
        self._scores = np.zeros((len(self._metres), periods.sum()), np.float32)
        self._came_from: deque[tuple[NDArray[np.intp], NDArray[np.intp]]] = deque(maxlen=HISTORY)
        self.frame_count = 0

    def step(self, beat: float, downbeat: float) -> None:
        """Takes the probabilities of the next frame: a beat that is no downbeat, and a downbeat."""
        slots = self._bases + (-self.frame_count) % self._periods  # where the last position was and the first will be
        arriving = self._scores[:, slots][self._previous]  # (rows, periods)
        rows = np.repeat(self._previous[:, None], len(self._periods), axis=1)
        self._change_metre(arriving, rows)
        candidates = arriving[:, self._from] + self._cost  # (rows, periods, steps)
        chosen = candidates.argmax(axis=2)
        periods = np.take_along_axis(self._from[None], chosen[..., None], axis=2)[..., 0]
        self._came_from.append((periods, np.take_along_axis(rows, periods, axis=1)))
        self._scores[:, slots] = np.take_along_axis(candidates, chosen[..., None], axis=2)[..., 0]
        silent = np.log(max(FLOOR, (1.0 - beat - downbeat) / (BEAT_SHARE - 1)))
        heard = np.where(self._places == 0, np.log(max(FLOOR, downbeat)), np.log(max(FLOOR, beat))) - silent
        periods_heard = self._periods[self._heard_of]
        hearing = self._bases[self._heard_of] + (self._heard_at - self.frame_count) % periods_heard
        self._scores[:, hearing] += heard[:, None].astype(np.float32)
        self.frame_count += 1
        if self.frame_count % FRAME_RATE_HZ == 0:
            self._scores -= self._scores.max()

    def _change_metre(self, arriving: F32, rows: NDArray[np.intp]) -> None:
        """Lets a bar begin after the last beat of any metre, at a cost; changes `arriving` and `rows` in place."""
        ends = arriving[self._downbeats].copy()
        for place, start in enumerate(self._downbeats):
            for other in range(len(METRES)):
                changed = ends[other] + METRE_CHANGE
                better = (changed > arriving[start]) & (other != place)
                arriving[start] = np.where(better, changed, arriving[start])
                rows[start] = np.where(better, self._previous[self._downbeats[other]], rows[start])

    def phase(self) -> tuple[int, TrackedBeat]:
        """Frames since the latest beat of the best course, and that beat."""
        row, period, since = self._find_best()
        return since, self._describe(row, period, self.frame_count - 1 - since)

    def trace(self) -> list[TrackedBeat]:
        """The beats of the best course within HISTORY, in order."""
        row, period, since = self._find_best()
        frame, found = self.frame_count - 1 - since, list[TrackedBeat]()
        oldest = self.frame_count - len(self._came_from)
        while frame >= oldest:
            found.append(self._describe(row, period, frame))
            periods, rows = self._came_from[frame - oldest]
            row, period = int(rows[row, period]), int(periods[row, period])
            frame -= int(self._periods[period])
        return found[::-1]

    def _find_best(self) -> tuple[int, int, int]:
        """Row, period and position of the best state."""
        row, slot = (int(i) for i in np.unravel_index(int(self._scores.argmax()), self._scores.shape))
        period = int(np.searchsorted(self._bases, slot, side="right")) - 1
        return row, period, int((slot - self._bases[period] + self.frame_count - 1) % self._periods[period])

    def _describe(self, row: int, period: int, frame: int) -> TrackedBeat:
        return TrackedBeat(frame, int(self._places[row]) + 1, int(self._periods[period]), int(self._metres[row]))
