"""Makes medleys of rated songs: music that changes at known times, to measure whether a reading follows it.

A medley is drawn by a seed alone. Its parts come from songs of different groups (artists), one of each quadrant of the
plane of arousal and valence, in random order, each brought to -18 LUFS.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from deepsing.audio import decode_blocks
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from training.audio_sentiment.labels import LabelsError, RatedSong

__all__ = ["Medley", "Part", "draw_medleys", "draw_returns", "render_medley"]

F32 = NDArray[np.float32]

LEVEL_LUFS = -18.0
SILENT_LUFS = -70.0  # where the meter's scale ends
LOUDNESS_KEY = "lavfi.r128.I"  # under which it gives the loudness of all so far
PART_S, RETURN_S = 25.0, 14.0  # lengths of the parts; clips of 30 s are often a little shorter
SPARE_S = 0.1  # by which a song may be shorter than its part: codecs cut a little off
CLEAR = 0.1  # ratings closer to 0 than this have no clear sign: a fifth of the scale's usual spread
RETURNS = ("ABAC", "ABCA", "ABAB", "ABCB")
Quadrant = tuple[bool, bool]  # whether arousal and valence are above 0


@dataclass(frozen=True)
class Part:
    """A stretch of a song.

    Attributes:
        song: the song.
        start_s: where the stretch begins in it, seconds.
        length_s: how long it is, seconds.
        letter: parts of one song have the same.
    """

    song: RatedSong
    start_s: float
    length_s: float
    letter: str

    @property
    def signs(self) -> Quadrant:
        """Whether arousal and valence are above 0."""
        return self.song.arousal > 0, self.song.valence > 0


@dataclass(frozen=True)
class Medley:
    """Parts one after another; each fades into the next for fade_s seconds, 0 is a hard cut."""

    parts: tuple[Part, ...]
    fade_s: float = 0.0

    @property
    def cuts_s(self) -> list[float]:
        """When the parts after the first begin, seconds; the middle of a fade."""
        ends = np.cumsum([part.length_s - self.fade_s for part in self.parts[:-1]])
        return [float(end) + self.fade_s / 2 for end in ends]


def draw_medleys(songs: Sequence[RatedSong], count: int, seed: int, *, fade_s: float = 0.0) -> list[Medley]:
    """Draws medleys of four parts of PART_S, from the beginning of their songs."""
    rng = random.Random(f"medleys {seed}")  # noqa: S311 (songs are drawn, not secrets)
    draws = _Draws(songs, rng)
    return [
        Medley(
            tuple(Part(song, 0.0, PART_S, letter) for song, letter in zip(draws.next(), "ABCD", strict=True)), fade_s
        )
        for _ in range(count)
    ]


def draw_returns(songs: Sequence[RatedSong], count: int, seed: int) -> list[Medley]:
    """Draws medleys in which a song comes back, each time with another stretch of RETURN_S."""
    rng = random.Random(f"returns {seed}")  # noqa: S311
    draws = _Draws(songs, rng)
    medleys = []
    for _ in range(count):
        chosen, parts, form = dict(zip("ABCD", draws.next(), strict=True)), list[Part](), rng.choice(RETURNS)
        for letter in form:
            start_s = RETURN_S * sum(part.letter == letter for part in parts)
            parts.append(Part(chosen[letter], start_s, RETURN_S, letter))
        medleys.append(Medley(tuple(parts)))
    return medleys


class _Draws:
    """Draws four songs at a time, one of each quadrant and of four groups; no song again before all had their turn."""

    def __init__(self, songs: Sequence[RatedSong], rng: random.Random) -> None:
        self._rng = rng
        clear = [song for song in songs if min(abs(song.arousal), abs(song.valence)) >= CLEAR]
        quadrants = [(arousal, valence) for arousal in (False, True) for valence in (False, True)]
        self._songs = {q: [s for s in clear if (s.arousal > 0, s.valence > 0) == q] for q in quadrants}
        self._decks: dict[Quadrant, list[RatedSong]] = {quadrant: [] for quadrant in quadrants}
        if missing := [quadrant for quadrant, found in self._songs.items() if not found]:
            sides = ", ".join(
                f"{'high' if a else 'low'} arousal and {'high' if v else 'low'} valence" for a, v in missing
            )
            raise LabelsError(f"no song is rated clearly of {sides}; a medley needs one of each quadrant")

    def next(self) -> list[RatedSong]:
        """Four songs in random order."""
        order, chosen = self._rng.sample(list(self._songs), 4), list[RatedSong]()
        for quadrant in order:
            chosen.append(self._deal(quadrant, {song.group for song in chosen}))
        return chosen

    def _deal(self, quadrant: Quadrant, groups: set[str]) -> RatedSong:
        for _ in range(2):
            deck = self._decks[quadrant]
            place = next((k for k, song in enumerate(deck) if song.group not in groups), None)
            if place is not None:
                return deck.pop(place)
            self._decks[quadrant] = self._rng.sample(self._songs[quadrant], len(self._songs[quadrant]))
        raise LabelsError("too few groups: a medley needs songs of four different artists")


def render_medley(medley: Medley, files: Sequence[Path]) -> F32:
    """The samples of a medley at SAMPLE_RATE_HZ, mono; `files` are those of its parts, which a decoder can read.

    Raises:
        AudioError: a song cannot be read, or is too short for its part.
    """
    fade = round(medley.fade_s * SAMPLE_RATE_HZ)
    answer = np.zeros(0, np.float32)
    for part, file in zip(medley.parts, files, strict=True):
        samples = _normalise(_decode(file, part))
        if fade and answer.size:
            rising = np.linspace(0.0, 1.0, fade, dtype=np.float32)
            samples[:fade] = samples[:fade] * rising + answer[-fade:] * rising[::-1]
            answer = answer[:-fade]
        answer = np.concatenate([answer, samples])
    return answer


def _decode(file: Path, part: Part) -> F32:
    with decode_blocks(
        file,
        mono=True,
        sample_rate_hz=SAMPLE_RATE_HZ,
        start_s=part.start_s,
        duration_s=part.length_s,
        min_duration_s=part.length_s - SPARE_S,
    ) as blocks:
        samples = np.concatenate(list(blocks))
    count = round(part.length_s * SAMPLE_RATE_HZ)
    return np.pad(samples[:count], (0, max(0, count - samples.size)))


def _normalise(samples: F32) -> F32:
    """The samples with one gain, at LEVEL_LUFS (EBU R 128, by ffmpeg's filter ebur128)."""
    graph = av.filter.Graph()
    clock = Fraction(1, SAMPLE_RATE_HZ)
    source = graph.add_abuffer(sample_rate=SAMPLE_RATE_HZ, format="flt", layout="mono", time_base=clock)
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    graph.link_nodes(source, meter, sink).configure()
    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE_HZ
    graph.push(frame)
    graph.push(None)
    loudness = SILENT_LUFS
    while True:
        try:
            loudness = float(sink.pull().metadata.get(LOUDNESS_KEY, loudness))
        except (av.error.EOFError, av.error.BlockingIOError):
            break
    if loudness <= SILENT_LUFS:
        return samples
    return samples * np.float32(10.0 ** ((LEVEL_LUFS - loudness) / 20.0))
