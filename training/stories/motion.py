"""How one story moves, and whether it moves with its music, by an onset detector that does not drive it (librosa's)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deepsing.audio import decode_blocks
from deepsing.client.session import Event
from deepsing.v1.composer_pb2 import Frame, SessionEnd, SessionStarted

__all__ = [
    "MotionFigures",
    "correlate_with_onsets",
    "estimate_motion",
    "find_strongest",
    "format_table",
    "measure_onsets",
    "summarize",
]

F64 = NDArray[np.float64]
RATE_HZ, HOP = 22_050, 256
HOP_S = HOP / RATE_HZ  # between strengths of onsets: 12 ms
WIDTH_PX = 96  # of the grey pictures on which motion is estimated
LAGS = np.arange(-16, 17) / 4  # frames; positive: the pictures are late
HELD = 0.002  # a frame that shifts less of the weights of concepts is of a held picture
BANDS = ("calm", "middle", "excited")  # thirds of the seconds of all songs, by arousal


@dataclass
class MotionFigures:
    """The motion of one story; its frames are raw RGB, all of one size.

    Attributes:
        onsets: (hops,) strength of the song's onsets every HOP_S, see measure_onsets.
        differences: per frame, the mean absolute difference from the one before, in grey levels of 255; 0 of the first.
        motions: per frame, from the one before: see estimate_motion.
        held: per frame, whether no concept was changing.
        arousal: per frame, of the song.
    """

    song: str
    onsets: F64 = field(default_factory=lambda: np.zeros(0))
    differences: list[float] = field(default_factory=list)
    motions: list[tuple[float, float, float, float]] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    arousal: list[float] = field(default_factory=list)
    end: SessionEnd = field(default_factory=SessionEnd)
    fps: float = 24.0
    _shape: tuple[int, int, int] = (0, 0, 3)
    _last: tuple[dict[str, float], NDArray[np.int16], F64] | None = None

    def take(self, event: Event) -> None:
        """Adds an event."""
        match event:
            case SessionStarted():
                self._shape = (event.size.height_px, event.size.width_px, 3)
                self.fps = event.frame_rate.numerator / event.frame_rate.denominator
            case Frame():
                self._take_frame(event)
            case SessionEnd():
                self.end = event

    def _take_frame(self, frame: Frame) -> None:
        picture = np.frombuffer(frame.image, np.uint8).reshape(self._shape)
        height = max(8, round(WIDTH_PX * self._shape[0] / self._shape[1]))
        grey = np.asarray(Image.fromarray(picture).convert("L").resize((WIDTH_PX, height), Image.Resampling.BOX))
        weights, values = {one.name: one.weight for one in frame.concepts}, grey.astype(np.float64)
        difference, motion, shift = 0.0, (0.0, 0.0, 0.0, 0.0), 0.0
        if self._last is not None:
            before, earlier, earlier_grey = self._last
            names = weights.keys() | before.keys()
            shift = sum(abs(weights.get(name, 0.0) - before.get(name, 0.0)) for name in names) / 2
            difference = float(np.abs(picture - earlier).mean())
            motion = estimate_motion(earlier_grey, values)
        self.differences.append(difference)
        self.motions.append(motion)
        self.held.append(shift < HELD)
        self.arousal.append(frame.target.arousal)
        self._last = weights, picture.astype(np.int16), values

    def speeds(self) -> F64:
        """Per frame, the mean speed of a picture's places, % of the width a second."""
        x, y, zoom, turn = np.array(self.motions).T
        # The mean square distance of a square's places from its middle is a sixth of its side's square.
        speeds: F64 = np.sqrt(x**2 + y**2 + (zoom**2 + turn**2) / 6) * self.fps * 100
        return speeds

    def facts(self) -> dict[str, Any]:
        """All measures as plain values."""
        held, differences = np.array(self.held), np.array(self.differences)
        r, lag = correlate_with_onsets(differences, self.onsets, self.fps)
        r_held, _ = correlate_with_onsets(differences, self.onsets, self.fps, held)
        speeds = self.speeds()[held] if held.any() else self.speeds()
        jumps = np.abs(np.diff(self.speeds(), 2))[held[2:]] if held[2:].any() else np.zeros(1)
        return {
            "song": self.song,
            "frames": len(differences),
            "r": round(r, 4),
            "lag_frames": round(lag, 2),
            "r_held": round(r_held, 4),
            "held": round(float(held.mean()), 3),
            "difference": [round(float(value), 3) for value in np.percentile(differences, (10, 50, 90))],
            "speed": round(float(np.median(speeds)), 3),
            "speed_p95": round(float(np.percentile(speeds, 95)), 3),
            "jerk": round(float(np.percentile(jumps, 90)), 3),
            "flashes_per_second": self.end.flashes_per_second,
        }


def measure_onsets(song: Path, start_s: float, duration_s: float) -> F64:
    """Strength of the onsets of a part of a song by librosa, every HOP_S: (hops,).

    It is the flux of a mel spectrum in decibels. The one that drives the camera is found by the service
    audio_sentiment, in other windows and three bands.

    Raises:
        AudioError: the song cannot be decoded.
    """
    import librosa  # takes a second; --help should not wait for it

    with song.open("rb") as file, decode_blocks(file, mono=True, start_s=start_s, duration_s=duration_s) as decoding:
        samples = np.concatenate([np.asarray(block, np.float32).ravel() for block in decoding])
        rate_hz = decoding.sample_rate_hz
    heard = librosa.resample(samples, orig_sr=rate_hz, target_sr=RATE_HZ)
    return np.asarray(librosa.onset.onset_strength(y=heard, sr=RATE_HZ, hop_length=HOP), np.float64)


def find_strongest(onsets: F64, fps: float, frame_count: int, lag: float = 0.0) -> F64:
    """What each frame could answer: the strongest onset since the frame before it, (hops,) → (frame_count,).

    Args:
        onsets: every HOP_S.
        fps: frames a second.
        frame_count: number of frames.
        lag: frames by which onsets are moved to later ones.
    """
    places = np.ceil(np.arange(len(onsets)) * HOP_S * fps + lag - 1e-9).astype(int)
    kept = (places >= 0) & (places < frame_count)
    found = np.zeros(frame_count)
    np.maximum.at(found, places[kept], onsets[kept])
    return found


def correlate_with_onsets(
    differences: F64, onsets: F64, fps: float, chosen: NDArray[np.bool_] | None = None
) -> tuple[float, float]:
    """Pearson's r of frame differences with onsets at the best lag, and that lag in frames; above 0 pictures are late.

    Args:
        differences: (frames,).
        onsets: (hops,), every HOP_S.
        fps: frames a second.
        chosen: (frames,), which frames count; None is all.
    """
    counts = np.ones(len(differences), bool) if chosen is None else chosen.copy()
    counts[:1] = False  # the first frame has none before it
    best = (0.0, 0.0)
    if counts.sum() < 3 or not differences[counts].std() > 0:
        return best
    for lag in LAGS[np.argsort(np.abs(LAGS), kind="stable")]:
        strongest = find_strongest(onsets, fps, len(differences), float(lag))[counts]
        if strongest.std() > 0:
            r = float(np.corrcoef(differences[counts], strongest)[0, 1])
            best = max(best, (r, float(lag)), key=lambda one: one[0])
    return best


def estimate_motion(before: F64, after: F64) -> tuple[float, float, float, float]:
    """How one grey picture became the next: shift along x and y (shares of the width), zoom - 1, turn (radians).

    The four numbers of a similarity, by least squares of brightness constancy over all places (Lucas & Kanade 1981).
    """
    down, across = np.gradient((before + after) / 2)
    rows, columns = np.indices(before.shape, np.float64)
    rows, columns = rows - rows.mean(), columns - columns.mean()
    design = np.stack([across, down, across * columns + down * rows, down * columns - across * rows]).reshape(4, -1)
    square = design @ design.T
    if np.linalg.cond(square) > 1e10:
        return 0.0, 0.0, 0.0, 0.0
    x, y, zoom, turn = np.linalg.solve(square, -(design @ (after - before).ravel()))
    width = before.shape[1]
    return float(x / width), float(y / width), float(zoom), float(turn)


def summarize(stories: Sequence[MotionFigures]) -> dict[str, Any]:
    """Medians and quartiles over songs, and the median speed of held frames by thirds of arousal, over all seconds."""
    facts = [story.facts() for story in stories]
    held = np.concatenate([np.array(story.held) for story in stories])
    speeds = np.concatenate([story.speeds() for story in stories])[held]
    arousal = np.concatenate([story.arousal for story in stories])[held]
    edges = np.quantile(arousal, (1 / 3, 2 / 3)) if len(arousal) else np.zeros(2)
    thirds = np.digitize(arousal, edges)
    return {
        "songs": len(facts),
        **{
            name: _find_quartiles([one[name] for one in facts])
            for name in ("r", "r_held", "lag_frames", "speed", "jerk")
        },
        "speed_by_arousal": {
            band: round(float(np.median(speeds[thirds == place])), 3) if (thirds == place).any() else None
            for place, band in enumerate(BANDS)
        },
        "flashes_per_second": max(one["flashes_per_second"] for one in facts),
    }


def _find_quartiles(values: Sequence[float]) -> dict[str, float]:
    q1, median, q3 = (round(float(value), 3) for value in np.quantile(values, (0.25, 0.5, 0.75)))
    return {"q1": q1, "median": median, "q3": q3}


def format_table(stories: Sequence[MotionFigures]) -> str:
    """A line per song and one of medians."""
    lines = [f"{'song':32} {'r':>6} {'held':>6} {'lag':>6} {'speed':>7} {'p95':>7} {'jerk':>7} {'flashes':>8}"]
    for one in (story.facts() for story in stories):
        lines.append(
            f"{one['song'][-32:]:32} {one['r']:6.2f} {one['r_held']:6.2f} {one['lag_frames']:6.2f} {one['speed']:7.2f} "
            f"{one['speed_p95']:7.2f} {one['jerk']:7.2f} {one['flashes_per_second']:8d}"
        )
    all_of = summarize(stories)
    lines.append(
        f"{'median of ' + str(all_of['songs']):32} {all_of['r']['median']:6.2f} {all_of['r_held']['median']:6.2f} "
        f"{all_of['lag_frames']['median']:6.2f} {all_of['speed']['median']:7.2f} {'':7} "
        f"{all_of['jerk']['median']:7.2f} {all_of['flashes_per_second']:8d}"
    )
    by = ", ".join(f"{band} {value}" for band, value in all_of["speed_by_arousal"].items())
    lines += [
        "r: of frame differences with librosa's onsets, at the best lag in frames; held: the same of held pictures",
        f"speed: median of held pictures, % of the width a second; by thirds of arousal: {by}",
        "jerk: 90th percentile of the second difference of the speed from frame to frame",
    ]
    return "\n".join(lines)
