"""The form of a story's music, gathered from its points: which passages it has, and how fast it is."""

from array import array
from itertools import pairwise
from statistics import median

from deepsing.v1.sentiment_pb2 import AffectPoint

__all__ = ["MusicRecorder"]

LONGEST_BEAT_US = 3_000_000  # 20 beats a minute; beats that are further apart do not belong together


class MusicRecorder:
    """Gathers passages and beats; memory grows by 8 bytes a beat.

    Attributes:
        sections: the section of each passage in letters, in order: A, B, … Z, AA, AB, …; equal letters sound alike.
    """

    def __init__(self) -> None:
        self.sections: list[str] = []
        self._passage, self._after_us = -1, -1
        self._beats_us = array("q")

    def add(self, point: AffectPoint) -> None:
        """Adds a point; one that came before, as after a break, changes nothing."""
        if point.time_us <= self._after_us:
            return
        self._after_us = point.time_us
        if point.passage != self._passage:
            self._passage = point.passage
            self.sections.append(_name_section(point.section))
        self._beats_us.extend(beat.time_us for beat in point.rhythm.beats)

    @property
    def beats_per_minute(self) -> float:
        """Median tempo of the beats; 0 if no two beats follow each other."""
        steps_us = [b - a for a, b in pairwise(self._beats_us) if 0 < b - a <= LONGEST_BEAT_US]
        return 60e6 / median(steps_us) if steps_us else 0.0


def _name_section(section: int) -> str:
    before, letter = divmod(section, 26)
    return (_name_section(before - 1) if before else "") + chr(ord("A") + letter)
