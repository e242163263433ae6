"""The tempo of a song, from the tempi of its windows."""

from collections import Counter

from services.audio_sentiment.rhythm.tracker import Tempo

__all__ = ["TempoCount"]

SAME = 0.04  # relative difference up to which tempi count as one


class TempoCount:
    """Counts how many windows keep which tempo; what it keeps does not grow with the song."""

    def __init__(self) -> None:
        self._windows: Counter[int] = Counter()  # by whole beats a minute
        self._bars: Counter[int] = Counter()  # by beats in a bar
        self._certainty = 0.0

    def add(self, tempo: Tempo) -> None:
        """Adds a window's tempo."""
        self._windows[round(tempo.beats_per_minute)] += 1
        self._bars[tempo.beats_per_bar] += 1
        self._certainty += tempo.certainty

    def choose(self) -> Tempo | None:
        """The mean of the tempi around the most frequent one, and the mean certainty; None if there was none."""
        count = self._windows.total()
        if not count:
            return None
        usual = max(self._windows, key=lambda bpm: (sum(self._near(bpm).values()), bpm))
        near = self._near(usual)
        mean = sum(bpm * windows for bpm, windows in near.items()) / sum(near.values())
        return Tempo(round(mean, 2), self._bars.most_common(1)[0][0], round(self._certainty / count, 3))

    def _near(self, usual: int) -> dict[int, int]:
        return {bpm: windows for bpm, windows in self._windows.items() if abs(bpm - usual) <= SAME * usual}
