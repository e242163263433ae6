"""The music of a whole story: its passages, beats and tempo, gathered while points arrive."""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from services.composer.story.rhythm import LONGEST_BEAT_S, Tempo
from services.composer.story.timeline import Point

__all__ = ["MusicForm", "MusicRecorder", "Passage", "name_section"]

SAME_TEMPO = 0.04  # relative difference up to which two tempi are the same


@dataclass(frozen=True)
class Passage:
    """A passage: its start in seconds of the story, its section, and the mean of its targets (see Point)."""

    start_s: float
    section: int
    arousal: float
    valence: float


@dataclass(frozen=True)
class MusicForm:
    """Passages, beats and tempo of a story.

    Attributes:
        passages: in order; empty if the story has no points.
        beat_values: time in seconds and place in the bar of each beat, in turn: 16 bytes a beat.
        tempo: that most of the beats keep; None if fewer than two beats follow each other.
    """

    passages: tuple[Passage, ...] = ()
    beat_values: "array[float]" = field(default_factory=lambda: array("d"))
    tempo: Tempo | None = None

    def iter_beats(self) -> Iterator[tuple[float, int]]:
        """Yields time in seconds and place in the bar of each beat."""
        for place in range(0, len(self.beat_values), 2):
            yield self.beat_values[place], int(self.beat_values[place + 1])


class MusicRecorder:
    """Gathers the form of a story's music; memory grows by 16 bytes a beat and by a passage."""

    def __init__(self) -> None:
        self._passages: list[Passage] = []
        self._passage = -1
        self._sums, self._count = (0.0, 0.0), 0
        self._beats = array("d")
        self._bars: Counter[int] = Counter()
        self._certainty = 0.0

    def add(self, point: Point) -> None:
        """Adds the next point."""
        if point.passage != self._passage:
            self._passage, self._sums, self._count = point.passage, (0.0, 0.0), 0
            self._passages.append(Passage(point.time_s, point.section, point.arousal, point.valence))
        self._count += 1
        self._sums = self._sums[0] + point.arousal, self._sums[1] + point.valence
        means = (value / self._count for value in self._sums)
        self._passages[-1] = Passage(self._passages[-1].start_s, point.section, *means)
        if point.rhythm is None:
            return
        for beat in point.rhythm.beats:
            self._beats.extend((beat.time_s, beat.position))
        if (tempo := point.rhythm.tempo) is not None:
            self._bars[tempo.beats_per_bar] += 1
            self._certainty += tempo.certainty

    def result(self) -> MusicForm:
        """The form of the music so far."""
        return MusicForm(tuple(self._passages), self._beats, self._measure_tempo())

    def _measure_tempo(self) -> Tempo | None:
        """Median tempo of the beats and the most frequent metre.

        The certainty is the mean of the windows with a tempo, times the share of beats that keep this one.
        """
        steps_s = [b - a for a, b in pairwise(self._beats[::2]) if 0 < b - a <= LONGEST_BEAT_S]
        windows = self._bars.total()
        if not steps_s or not windows:
            return None
        usual_s = median(steps_s)
        kept = sum(abs(step_s / usual_s - 1) <= SAME_TEMPO for step_s in steps_s) / len(steps_s)
        return Tempo(60 / usual_s, self._bars.most_common(1)[0][0], kept * self._certainty / windows)


def name_section(section: int) -> str:
    """The letters of a section: A for 0, Z for 25, then AA, AB and so on."""
    before, letter = divmod(section, 26)
    return (name_section(before - 1) if before else "") + chr(ord("A") + letter)
