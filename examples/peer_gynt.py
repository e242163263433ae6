"""Plays three scenes from Grieg's Peer Gynt suite no. 1: notation in peer_gynt.toml to MIDI, then to an mp3.

python examples/peer_gynt.py --soundfont /usr/share/sounds/sf2/FluidR3_GM.sf2 --out examples

Needs the program fluidsynth; the same soundfont gives the same samples.
"""

import argparse
import re
import struct
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

__all__ = ["Note", "read_notes", "write_midi", "synthesise", "write_mp3"]

SCORE = Path(__file__).with_suffix(".toml")
TICKS = 480  # a quarter
SAMPLE_RATE_HZ = 44_100
BIT_RATE = 112_000
PEAK = 10 ** (-1 / 20)  # -1 dBFS, measured on the decoded mp3
DRIVE = 10 ** (6 / 20)  # the loudest attacks are held 6 dB down, so that the quiet scenes are not too quiet
TAIL_S = 4.0  # for the last chord and the hall to die away
DYNAMICS = {"ppp": 54, "pp": 65, "p": 76, "mp": 86, "mf": 95, "f": 105, "ff": 116, "fff": 127}  # MIDI expression
SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
TOKEN = re.compile(r"(?P<chord>[A-G]#?\d?(?:\+[A-G]#?\d?)*|r)(?::(?P<units>[\d.]+))?(?P<marks>['>%]*)")
PHRASE = re.compile(r"@(?P<name>\w+)(?P<octaves>[+-]\d)?")

Event = tuple[int, int, bytes]  # tick, rank among events at the same tick, MIDI message


@dataclass(frozen=True)
class Note:
    """A note or chord as it sounds; times in quarters from the start of its scene."""

    start: float
    length: float
    pitches: tuple[int, ...]
    accent: bool = False


def read_notes(notation: str, *, unit: float, bar: float, phrases: dict[str, str]) -> tuple[list[Note], float]:
    """Reads the notation that peer_gynt.toml describes.

    Args:
        notation: one part.
        unit: quarters that a note without a written length lasts.
        bar: quarters in a bar.
        phrases: notation by name, for `@name`.

    Returns:
        The notes in order, and the quarters that the part fills.

    Raises:
        ValueError: a token is not notation, or a bar line falls inside a bar.
    """
    notes: list[Note] = []
    now, octave = 0.0, 4
    for token, shift in _tokens(notation, phrases):
        if token == "|":
            if abs(now / bar - round(now / bar)) > 1e-6:
                raise ValueError(f"a bar line stands at quarter {now}, inside a bar of {bar}; mend the bar before it")
        elif rest := re.fullmatch(r"R(\d+)", token):
            now += int(rest[1]) * bar
        elif match := TOKEN.fullmatch(token):
            length = unit * float(match["units"] or 1)
            if match["chord"] != "r":
                octave, pitches = _pitches(match["chord"], octave)
                notes += _articulate(now, length, tuple(pitch + 12 * shift for pitch in pitches), match["marks"])
            now += length
        else:
            raise ValueError(f"{token!r} is not notation; write a note such as F#4:2' or a rest r:2")
    return notes, now


def _tokens(notation: str, phrases: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Yields each token with the octaves it is moved by; phrases are replaced by what they stand for."""
    for token in notation.split():
        if match := PHRASE.fullmatch(token):
            yield from ((inner, int(match["octaves"] or 0)) for inner in phrases[match["name"]].split())
        else:
            yield token, 0


def _pitches(chord: str, octave: int) -> tuple[int, tuple[int, ...]]:
    """Reads `E4+G#+B`; a note without an octave is in the one before. Returns the last octave and MIDI keys."""
    keys = []
    for name in chord.split("+"):
        octave = int(name[-1]) if name[-1].isdigit() else octave
        keys.append(12 * (octave + 1) + SEMITONES[name[0]] + ("#" in name))
    return octave, tuple(keys)


def _articulate(start: float, length: float, pitches: tuple[int, ...], marks: str) -> list[Note]:
    if "%" in marks:  # a roll of eight strokes a quarter
        return [Note(start + stroke / 8, 1 / 8, pitches, stroke % 4 == 0) for stroke in range(round(length * 8))]
    return [Note(start, length * (0.5 if "'" in marks else 0.97), pitches, ">" in marks)]


def _curve(text: str) -> tuple[list[float], list[float]]:
    """Reads `0 p 4 f` or `0 96 8 102`: bars and the values there."""
    words = text.split()
    return [float(at) for at in words[::2]], [float(DYNAMICS.get(value, value)) for value in words[1::2]]


def write_midi(score: dict[str, Any], path: Path) -> list[tuple[str, float, float]]:
    """Writes a Standard MIDI File: a track of tempos and a track for each player.

    Args:
        score: the content of peer_gynt.toml.
        path: where the file goes.

    Returns:
        Name, start and end in seconds of each scene.

    Raises:
        ValueError: a part is not notation or does not fill its scene.
    """
    tempos: list[Event] = []
    tracks: dict[str, list[Event]] = {player: _setup(*score["players"][player]) for player in score["players"]}
    scenes, quarter, clock_s = [], 0.0, 0.0
    for scene in score["scenes"]:
        quarters, start_s = scene["bars"] * scene["bar"], clock_s
        tempos.append((round(quarter * TICKS), 0, _meta(0x06, scene["name"].encode())))
        for at in np.arange(0, quarters, 0.5):
            per_minute = float(np.interp(at / scene["bar"], *_curve(scene["tempo"])))
            tempos.append((round((quarter + at) * TICKS), 1, _meta(0x51, round(6e7 / per_minute).to_bytes(3, "big"))))
            clock_s += 0.5 * 60 / per_minute
        for player, part in scene["parts"].items():
            notes, filled = read_notes(part["notes"], unit=scene["unit"], bar=scene["bar"], phrases=score["phrases"])
            if abs(filled - quarters) > 1e-6:
                raise ValueError(f"{scene['name']}, {player}: the part fills {filled} quarters, the scene {quarters}")
            channel = score["players"][player][0]
            tracks[player] += _perform(notes, part["dynamics"], scene["bar"], quarter, quarters, channel)
        scenes.append((scene["name"], start_s, clock_s))
        quarter += quarters
    end = round((quarter + TAIL_S * per_minute / 60) * TICKS)
    chunks = [_track("", tempos, end), *(_track(player, events, end) for player, events in tracks.items())]
    path.write_bytes(struct.pack(">4sIHHH", b"MThd", 6, 1, len(chunks), TICKS) + b"".join(chunks))
    return scenes


def _setup(channel: int, program: int, pan: int, level: int) -> list[Event]:
    """Instrument, volume (CC 7), pan (CC 10) and hall (CC 91) of a channel."""
    controls = ((7, level), (10, pan), (91, 70))
    return [(0, 0, bytes((0xC0 | channel, program))), *((0, 0, bytes((0xB0 | channel, *cc))) for cc in controls)]


def _perform(notes: list[Note], dynamics: str, bar: float, offset: float, end: float, channel: int) -> list[Event]:
    """Gives notes their loudness: expression (CC 11) follows the dynamics within a note, velocity at its start."""
    curve = _curve(dynamics)
    events: list[Event] = []
    for at in np.arange(notes[0].start, end, 0.125):
        expression = bytes((0xB0 | channel, 11, round(float(np.interp(at / bar, *curve)))))
        if not events or events[-1][2] != expression:
            events.append((round((offset + at) * TICKS), 1, expression))
    for note in notes:
        velocity = min(127, round(28 + 0.66 * float(np.interp(note.start / bar, *curve)) + 14 * note.accent))
        on, off = (round((offset + at) * TICKS) for at in (note.start, note.start + note.length))
        for pitch in note.pitches:
            events.append((on, 2, bytes((0x90 | channel, pitch, velocity))))
            events.append((off, 0, bytes((0x80 | channel, pitch, 0))))
    return events


def _meta(kind: int, data: bytes) -> bytes:
    return bytes((0xFF, kind)) + _variable_length(len(data)) + data


def _variable_length(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))


def _track(name: str, events: list[Event], end: int) -> bytes:
    body, before = bytearray(b"\0" + _meta(0x03, name.encode())), 0
    for tick, _, message in [*sorted(events, key=lambda event: event[:2]), (end, 9, _meta(0x2F, b""))]:
        body += _variable_length(tick - before) + message
        before = tick
    return struct.pack(">4sI", b"MTrk", len(body)) + bytes(body)


def synthesise(midi: Path, soundfont: Path) -> NDArray[np.float32]:
    """Plays a MIDI file in a hall: (samples, 2) at 44.1 kHz, any peak, ending in a fade where the sound dies away."""
    hall = ("reverb.room-size=0.72", "reverb.damp=0.35", "reverb.width=0.9", "reverb.level=0.75", "chorus.active=0")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "song.raw"
        command = ["fluidsynth", "-niq", "-g", "0.4", "-r", str(SAMPLE_RATE_HZ), "-T", "raw", "-O", "float"]
        settings = [word for setting in hall for word in ("-o", f"synth.{setting}")]
        subprocess.run([*command, *settings, "-F", str(raw), str(soundfont), str(midi)], check=True)
        pcm = np.fromfile(raw, dtype=np.float32).reshape(-1, 2)
    audible = np.flatnonzero(np.abs(pcm).max(axis=1) > 0.003 * np.abs(pcm).max())
    pcm = pcm[: audible[-1] + 1].copy()
    fade = min(SAMPLE_RATE_HZ // 2, len(pcm))
    pcm[-fade:] *= (np.cos(np.linspace(0, np.pi, fade, dtype=np.float32))[:, None] + 1) / 2
    return pcm


def _limit_peaks(pcm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Makes (samples, 2) louder by DRIVE with a limiter that looks 40 ms ahead; the peak is then at most 1."""
    block, reach = 64, 28  # samples; blocks
    loud = pcm * (DRIVE / np.abs(pcm).max())
    peaks = np.pad(np.abs(loud).max(axis=1), (0, -len(pcm) % block)).reshape(-1, block).max(axis=1)
    lowest = np.pad(1 / np.maximum(peaks, 1), 2 * reach, mode="edge")
    lowest = np.lib.stride_tricks.sliding_window_view(lowest, 2 * reach + 1).min(axis=1)
    window = np.hanning(2 * reach + 1)
    gain = np.convolve(lowest, window / window.sum(), mode="valid")
    held: NDArray[np.float32] = loud * np.repeat(gain, block)[: len(pcm), None].astype(np.float32)
    return held


def write_mp3(pcm: NDArray[np.float32], path: Path, tags: dict[str, str]) -> None:
    """Writes an mp3 that peaks at -1 dBFS once decoded: encoding overshoots, so it is measured and done again."""
    pcm, gain = _limit_peaks(pcm), PEAK
    for _ in range(2):
        with av.open(path, "w") as container:
            container.metadata.update(tags)
            stream = container.add_stream("libmp3lame", rate=SAMPLE_RATE_HZ, layout="stereo", bit_rate=BIT_RATE)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm.T * gain), format="fltp", layout="stereo")
            frame.sample_rate = SAMPLE_RATE_HZ
            container.mux([*stream.encode(frame), *stream.encode(None)])
        with av.open(path) as container:
            gain *= PEAK / max(float(np.abs(frame.to_ndarray()).max()) for frame in container.decode(audio=0))


def main() -> None:
    """Writes peer_gynt.mid and peer_gynt.mp3 and prints where each scene lies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--soundfont", type=Path, required=True, help="a General MIDI soundfont (.sf2)")
    parser.add_argument("--out", type=Path, required=True, help="folder for peer_gynt.mid and peer_gynt.mp3")
    arguments = parser.parse_args()
    midi, mp3 = (arguments.out / f"peer_gynt.{kind}" for kind in ("mid", "mp3"))
    for name, start_s, end_s in write_midi(tomllib.loads(SCORE.read_text(encoding="utf-8")), midi):
        print(f"{start_s:6.2f} s to {end_s:6.2f} s  {name}")
    tags = {"title": "Three scenes from Peer Gynt", "artist": "Edvard Grieg (arr. deepsing)", "date": "1888"}
    write_mp3(synthesise(midi, arguments.soundfont), mp3, tags)


if __name__ == "__main__":
    main()
