"""Where in the bar the music is: a hidden Markov model of tempo, beat and bar, fed with a network's activations.

Source: Whiteley, Cemgil & Godsill (2006), the bar pointer; Krebs, Böck & Widmer (2015), its efficient state space and
transitions of tempo at beats only; Böck, Krebs & Widmer (2016), the observations of beats and downbeats.
Differs: several metres live in one model and may follow each other at a downbeat; tempi have a prior; scores are kept
for a bounded time, so that a stream can be hours long.
"""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from services.audio_sentiment.rhythm.spectrum import FRAME_RATE_HZ

__all__ = ["BarModel", "BarSettings", "Place"]

F32 = NDArray[np.float32]
Index = NDArray[np.intp]

FARTHEST_STEP = 8  # by how many frames an interval changes at most from one beat to the next


@dataclass(frozen=True)
class BarSettings:
    """What the model takes for likely.

    Attributes:
        metres: beats in a bar, each at least 1.
        shortest, longest: frames of a beat, at FRAME_RATE_HZ.
        steadiness: how unlikely a change of tempo is at a beat; the score falls by it times the relative change.
        beat_share: the part of a beat, from its start, in which the network marks it.
        usual_bpm, bpm_octaves: centre and standard deviation of the tempi of music.
        metre_change: natural logarithm of the chance that another metre follows at a downbeat.
        pull: how much the prior of the tempo weighs at each beat; 0 lets it weigh at the start only.
        floor: the least share of a beat that is believed, above 0.
    """

    metres: tuple[int, ...] = (3, 4)
    shortest: int = 14
    longest: int = 60
    steadiness: float = 100.0
    beat_share: float = 1 / 12
    usual_bpm: float = 110.0
    bpm_octaves: float = 0.7
    metre_change: float = -9.0
    pull: float = 0.7
    floor: float = 1e-3


MUSIC = BarSettings()


@dataclass(frozen=True)
class Place:
    """A place in the bar at some frame.

    Attributes:
        metre: beats in the bar.
        beat: 0 is the downbeat.
        interval: frames from this beat to the next one.
        position: frames since this beat began, below the interval.
    """

    metre: int
    beat: int
    interval: int
    position: int


@dataclass(frozen=True)
class _Space:
    """The states: for each beat of each metre and each interval, as many as it has frames, one behind the other."""

    beats: list[tuple[int, int]]  # metre and beat of each row
    intervals: Index
    first: Index  # (rows, intervals), state at the start of a beat
    last: Index  # (rows, intervals), state before the next one
    before: Index  # (rows,), the row that precedes
    marked: Index  # states in which an ordinary beat is heard
    marked_down: Index  # states in which a downbeat is heard
    owner: Index  # (states,), row times intervals plus interval
    near: Index  # (intervals, steps), for each interval those that it may follow
    change: F32  # (intervals, steps), chance of that, log
    prior: F32  # (intervals,), log


@lru_cache(maxsize=4)
def _build_space(settings: BarSettings) -> _Space:
    intervals = np.arange(settings.shortest, settings.longest + 1)
    beats = [(metre, beat) for metre in settings.metres for beat in range(metre)]
    sizes = np.tile(intervals, len(beats))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    first = starts.reshape(len(beats), len(intervals))
    rows = {row: number for number, row in enumerate(beats)}
    before = np.array([rows[metre, (beat - 1) % metre] for metre, beat in beats])
    owner = np.repeat(np.arange(len(sizes)), sizes)
    position = np.arange(len(owner)) - starts[owner]
    heard = position < sizes[owner] * settings.beat_share
    down = np.array([beat == 0 for _, beat in beats])[owner // len(intervals)]
    near = np.arange(len(intervals))[:, None] + np.arange(-FARTHEST_STEP, FARTHEST_STEP + 1)
    possible = (near >= 0) & (near < len(intervals))
    near = np.clip(near, 0, len(intervals) - 1)
    change = np.exp(-settings.steadiness * np.abs(intervals[:, None] / intervals[near] - 1.0)) * possible
    total = np.zeros(len(intervals))
    np.add.at(total, near, change)
    bpm = 60.0 * FRAME_RATE_HZ / intervals
    prior = -0.5 * (np.log2(bpm / settings.usual_bpm) / settings.bpm_octaves) ** 2
    return _Space(
        beats=beats,
        intervals=intervals,
        first=first,
        last=first + intervals - 1,
        before=before,
        marked=np.flatnonzero(heard & ~down),
        marked_down=np.flatnonzero(heard & down),
        owner=owner,
        near=near,
        change=np.where(possible, np.log(np.maximum(change / total[near], 1e-30)), -1e9).astype(np.float32),
        prior=prior.astype(np.float32),
    )


class BarModel:
    """Follows the most likely course through the bars, frame by frame.

    Args:
        memory_frames: how far back `trace` can look.
    """

    def __init__(self, memory_frames: int, settings: BarSettings = MUSIC) -> None:
        self._settings = settings
        self._space = space = _build_space(settings)
        weight = np.log(np.array([1.0 / metre for metre, _ in space.beats], np.float32))
        per_state = (weight[:, None] + space.prior - np.log(space.intervals)).astype(np.float32)
        self._score: F32 = per_state.reshape(-1)[space.owner]
        self._best = int(self._score.argmax())  # the most likely state
        self._sources: deque[NDArray[np.int32]] = deque(maxlen=memory_frames)
        self._down = np.flatnonzero([beat == 0 for _, beat in space.beats])
        self._finals = space.before[self._down]  # last beats of bars
        self._pulled = np.float32(settings.pull) * space.prior
        self._rows = np.tile(space.before[:, None], (1, len(space.intervals)))
        # The scores that may precede each interval: a view of rows that are longer by the reach at either end.
        steps = space.change.shape[1]
        self._reach = steps // 2
        self._padded = np.empty((len(space.beats), len(space.intervals) + 2 * self._reach), np.float32)
        self._near = np.lib.stride_tricks.sliding_window_view(self._padded, steps, axis=1)
        self._picks = np.arange(self._rows.size) * steps
        self.frame_count = 0

    def step(self, beat: float, downbeat: float) -> None:
        """Takes the network's shares for the next frame: a beat that is no downbeat, and a downbeat."""
        space, settings = self._space, self._settings
        ends = self._score[space.last]
        came, source = self._enter(ends)
        score = np.empty_like(self._score)
        score[1:] = self._score[:-1]
        score[space.first] = came
        low = settings.floor
        quiet = max(low, 1.0 - beat - downbeat) / (1.0 / settings.beat_share - 1.0)
        base = np.log(quiet)
        score[space.marked] += np.float32(np.log(max(low, beat)) - base)
        score[space.marked_down] += np.float32(np.log(max(low, downbeat)) - base)
        self._best = int(score.argmax())
        score -= score[self._best]
        self._score = score
        self._sources.append(source)
        self.frame_count += 1

    def _enter(self, ends: F32) -> tuple[F32, NDArray[np.int32]]:
        """Scores of the first states of all beats and where they came from: row times intervals plus interval."""
        space, count = self._space, len(self._space.intervals)
        before, rows = ends[space.before], self._rows
        if len(self._finals) > 1:  # another metre may follow at a downbeat
            changed = ends[self._finals] + np.float32(self._settings.metre_change)
            best = changed.argmax(axis=0)
            value, kept = changed[best, np.arange(count)], before[self._down]
            better = value > kept
            if better.any():
                rows = rows.copy()
                before[self._down] = np.where(better, value, kept)
                rows[self._down] = np.where(better, self._finals[best], rows[self._down])
        reach = self._reach
        self._padded[:, reach:-reach] = before
        self._padded[:, :reach], self._padded[:, -reach:] = before[:, :1], before[:, -1:]
        options = self._near + space.change
        step = options.argmax(axis=2)
        came = options.reshape(-1)[self._picks + step.reshape(-1)].reshape(step.shape)
        chosen = space.near[np.arange(count), step]
        source = rows.reshape(-1)[np.arange(len(rows))[:, None] * count + chosen] * count + chosen
        return came + self._pulled, source.astype(np.int32)

    def locate(self) -> Place:
        """The most likely place in the bar at the latest frame."""
        return self._describe(*self._locate_best())

    def trace(self, back_to: int) -> list[tuple[int, Place]]:
        """Frames at which beats began on the most likely course, from `back_to` on, in order."""
        owner, position = self._locate_best()
        frame = self.frame_count - 1 - position
        oldest = max(back_to, self.frame_count - len(self._sources))
        found: list[tuple[int, Place]] = []
        while frame >= oldest:
            found.append((frame, self._describe(owner, 0)))
            owner = int(self._sources[frame - self.frame_count].reshape(-1)[owner])
            frame -= int(self._space.intervals[owner % len(self._space.intervals)])
        return found[::-1]

    def _locate_best(self) -> tuple[int, int]:
        """Owner of the most likely state, and its position in the beat."""
        owner = int(self._space.owner[self._best])
        return owner, self._best - int(self._space.first.reshape(-1)[owner])

    def _describe(self, owner: int, position: int) -> Place:
        row, interval = divmod(owner, len(self._space.intervals))
        metre, beat = self._space.beats[row]
        return Place(metre, beat, int(self._space.intervals[interval]), position)
