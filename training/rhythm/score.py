"""Reads beats, downbeats and onsets from a MIDI file: its tempo map, its time signatures and its notes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MidiError", "Score", "read_score"]

F64 = NDArray[np.float64]
SAME_ONSET_S = 0.03  # notes nearer than this set in together
USUAL_TEMPO = 500_000  # microseconds of a quarter where the file says nothing
DRUMS = 9


class MidiError(ValueError):
    """A MIDI file cannot be used; the message says why."""


@dataclass(frozen=True)
class Score:
    """Seconds from the start, in order: quarters, first quarters of bars, and onsets of notes."""

    beats: F64
    downbeats: F64
    onsets: F64

    def cut(self, duration_s: float) -> "Score":
        """What lies before a time."""
        return Score(*(times[times < duration_s] for times in (self.beats, self.downbeats, self.onsets)))


def read_score(path: Path) -> Score:
    """Reads a MIDI file.

    Raises:
        MidiError: it is not one, or has no notes.
    """
    import mido

    try:
        midi = mido.MidiFile(path)
    except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
        raise MidiError(f"it is no MIDI file that can be read ({error})") from error
    events = sorted(_list_events(midi), key=lambda event: event[0])
    notes = [tick for tick, message in events if message.type == "note_on" and message.velocity]
    if not notes or not midi.ticks_per_beat:
        raise MidiError("it has no notes")
    tempi = {0: USUAL_TEMPO} | {tick: message.tempo for tick, message in events if message.type == "set_tempo"}
    bars = {0: 4.0} | {t: 4.0 * m.numerator / m.denominator for t, m in events if m.type == "time_signature"}
    ticks = np.arange(0, events[-1][0] + 1, midi.ticks_per_beat)
    onsets = _to_seconds(np.array(notes, np.float64), tempi, midi.ticks_per_beat)
    merged: list[float] = []
    for onset in onsets.tolist():
        if not merged or onset - merged[-1] > SAME_ONSET_S:
            merged.append(onset)
    downs = np.array(_list_bars(bars, events[-1][0], midi.ticks_per_beat))
    beats, downbeats = (_to_seconds(t.astype(np.float64), tempi, midi.ticks_per_beat) for t in (ticks, downs))
    return Score(beats, downbeats, np.array(merged))


def _list_events(midi: Any) -> list[tuple[int, Any]]:
    events = []
    for track in midi.tracks:
        tick = 0
        for message in track:
            tick += message.time
            events.append((tick, message))
    return events


def _list_bars(lengths: dict[int, float], end: int, ticks_per_beat: int) -> list[float]:
    """Ticks at which bars begin; a time signature begins a bar."""
    starts: list[float] = []
    changes = sorted(lengths)
    for start, stop in zip(changes, [*changes[1:], end + 1], strict=True):
        starts.extend(np.arange(start, stop, lengths[start] * ticks_per_beat).tolist())
    return starts


def _to_seconds(ticks: F64, tempi: dict[int, int], ticks_per_beat: int) -> F64:
    """Times of ticks by the tempo map."""
    changes = np.array(sorted(tempi), np.float64)
    rates = np.array([tempi[int(change)] / 1e6 / ticks_per_beat for change in changes])
    at = np.concatenate([[0.0], np.cumsum(np.diff(changes) * rates[:-1])])
    which = np.searchsorted(changes, ticks, side="right") - 1
    return np.asarray(at[which] + (ticks - changes[which]) * rates[which])
