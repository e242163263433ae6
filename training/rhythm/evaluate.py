"""deepsing eval beats: measures how well beats, onsets and tempo are heard, against the tempo map of MIDI files.

It runs what the service runs on renderings of the pieces, and librosa's beat tracker on the same sound. A quarter of
the tempo map counts as a beat, and the bars are those of its time signatures; notes within 30 ms are one onset.
The first five seconds do not count. With --hearing live a beat counts at the time at which it was expected.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from deepsing.audio import AudioError, decode_blocks
from deepsing.runtime.onnx import open_session
from services.audio_sentiment.features import SAMPLE_RATE_HZ
from services.audio_sentiment.rhythm.onsets import ONSET_RATE_HZ
from services.audio_sentiment.rhythm.tracker import RhythmTracker, RhythmWindow
from training.agreement import bootstrap_intervals
from training.audio_sentiment.evaluate import HEARINGS, WEIGHTS, print_warning
from training.audio_sentiment.rendering import RenderingError, render_if_midi
from training.program import new_parser
from training.rhythm.score import MidiError, Score, read_score

__all__ = ["build_parser", "main", "measure_piece", "pick_onsets"]

F64 = NDArray[np.float64]
EXAMPLES = """examples:
  deepsing eval beats --data DIR
  deepsing eval beats --data DIR --hearing live --json
"""
TEMPO_TOLERANCE = 0.04
FARTHEST_WINDOW = 4  # after the one that forecasts it: 1.5 to 2 s after that one's end
ONSET_S, BEAT_TRIM_S = 0.05, 5.0
PEAK_ABOVE, PEAK_REACH, PEAK_MEAN = 0.22, 3, 12  # of onsets: above the mean of so many frames, the largest of so many
MEASURES = (
    ("beats", "beats, F at 70 ms"),
    ("beats_any", "the same at any metrical level (half, double)"),
    ("cml_c", "continuity CMLc"),
    ("cml_t", "continuity CMLt"),
    ("aml_c", "continuity AMLc"),
    ("aml_t", "continuity AMLt"),
    ("downbeats", "downbeats, F at 70 ms"),
    ("forecast", "live: beats as they were forecast 1.5 to 2 s ahead"),
    ("offset_ms", "mean offset of beats that are right, ms"),
    ("onsets", "onsets, F at 50 ms"),
    ("onset_offset_ms", "mean offset of onsets that are right, ms"),
    ("tempo", "tempo within 4 %"),
    ("tempo_any", "tempo within 4 % of it, its half or its double"),
    ("librosa", "librosa's beats, F at 70 ms"),
    ("librosa_any", "the same at any metrical level"),
)


def pick_onsets(strength: NDArray[np.uint8]) -> F64:
    """Times of onsets, seconds: peaks of the bands' sum.

    Args:
        strength: (frames, bands), 0 to 255, ONSET_RATE_HZ a second.
    """
    curve = strength.astype(np.float64).sum(axis=1) / 255.0
    padded = np.pad(curve, PEAK_MEAN, mode="edge")
    means = np.convolve(padded, np.ones(2 * PEAK_MEAN + 1) / (2 * PEAK_MEAN + 1), "valid")
    around = np.lib.stride_tricks.sliding_window_view(np.pad(curve, PEAK_REACH), 2 * PEAK_REACH + 1)
    peaks = (curve >= around.max(axis=1)) & (curve > means + PEAK_ABOVE)
    frames = np.flatnonzero(peaks)
    apart = np.concatenate([[True], np.diff(frames) >= PEAK_REACH]) if len(frames) else np.empty(0, bool)
    return np.asarray(frames[apart] / ONSET_RATE_HZ)


def measure_piece(score: Score, windows: Sequence[RhythmWindow], plain: F64) -> dict[str, float | None]:
    """Compares what was heard, and librosa's beats, with the score.

    Returns:
        The values of MEASURES by their keys; None where there is nothing to measure.
    """
    import mir_eval

    beats = [beat for window in windows for beat in window.beats]
    found = np.array([beat.time_us / 1e6 for beat in beats])
    expected = _list_forecasts(windows)
    down = np.array([beat.time_us / 1e6 for beat in beats if beat.position == 1])
    onsets = pick_onsets(np.concatenate([window.onsets for window in windows]))
    truth, heard = mir_eval.beat.trim_beats(score.beats), mir_eval.beat.trim_beats(found)
    continuity = mir_eval.beat.continuity(truth, heard)
    near, hits = _find_offsets(truth, heard, 0.07), _find_offsets(score.onsets, onsets, ONSET_S)
    tempo = _compare_tempo(score.beats, windows)
    return {
        "beats": _f_measure(score.beats, found),
        "beats_any": _f_at_any_level(score.beats, found),
        **dict(zip(("cml_c", "cml_t", "aml_c", "aml_t"), map(float, continuity), strict=True)),
        "downbeats": _f_measure(score.downbeats, down),
        "forecast": _f_measure(score.beats, expected) if len(expected) else None,
        "offset_ms": float(near.mean() * 1e3) if len(near) else None,
        "onsets": float(mir_eval.onset.f_measure(score.onsets, onsets, window=ONSET_S)[0]),
        "onset_offset_ms": float(hits.mean() * 1e3) if len(hits) else None,
        "tempo": tempo[0],
        "tempo_any": tempo[1],
        "librosa": _f_measure(score.beats, plain),
        "librosa_any": _f_at_any_level(score.beats, plain),
    }


def _list_forecasts(windows: Sequence[RhythmWindow]) -> F64:
    """Times at which beats were expected, seconds: those that each window expected farthest ahead."""
    found = []
    for number, window in enumerate(windows):
        start_us = (number + FARTHEST_WINDOW) * 500_000
        found += [beat.time_us / 1e6 for beat in window.forecast if start_us <= beat.time_us < start_us + 500_000]
    return np.array(found)


def _f_measure(truth: F64, found: F64) -> float:
    import mir_eval

    return float(mir_eval.beat.f_measure(mir_eval.beat.trim_beats(truth), mir_eval.beat.trim_beats(found)))


def _f_at_any_level(truth: F64, found: F64) -> float:
    double = np.sort(np.concatenate([truth, (truth[1:] + truth[:-1]) / 2]))
    return max(_f_measure(level, found) for level in (truth, truth[::2], truth[1::2], double))


def _find_offsets(truth: F64, found: F64, tolerance_s: float) -> F64:
    """How late each found time is, where a true one is within the tolerance; seconds."""
    if not len(truth) or not len(found):
        return np.empty(0)
    nearest = truth[np.abs(found[:, None] - truth[None]).argmin(axis=1)]
    late = found - nearest
    return np.asarray(late[np.abs(late) <= tolerance_s])


def _compare_tempo(beats: F64, windows: Sequence[RhythmWindow]) -> tuple[float, float]:
    """Share of windows from the fifth second on whose tempo is right, and right or half or double; none is wrong."""
    right: list[tuple[bool, bool]] = []
    for number, window in enumerate(windows):
        middle = number / 2 + 0.25
        near = beats[np.abs(beats - middle) <= 4.0]
        if middle < BEAT_TRIM_S or len(near) < 3:
            continue
        true = 60.0 / float(np.median(np.diff(near)))
        heard = window.tempo.beats_per_minute if window.tempo else 0.0
        levels = [abs(heard / (true * factor) - 1.0) <= TEMPO_TOLERANCE for factor in (1.0, 0.5, 2.0)]
        right.append((levels[0], any(levels)))
    shares = np.array(right or [(False, False)], np.float64).mean(axis=0)
    return float(shares[0]), float(shares[1])


def _hear_piece(path: Path, weights: Path, live: bool) -> tuple[list[RhythmWindow], F64, float]:
    """Windows, librosa's beats in seconds, and the length in seconds."""
    import librosa

    tracker = RhythmTracker(open_session(weights / "beats.onnx", threads=1), live)
    windows: list[RhythmWindow] = []
    blocks = []
    with decode_blocks(path, mono=True, sample_rate_hz=SAMPLE_RATE_HZ) as decoding:
        for block in decoding:
            blocks.append(block)
            windows.extend(tracker.push(block))
        facts = decoding.facts
    windows.extend(tracker.finish(-(-2 * facts.sample_count // facts.sample_rate_hz)))
    plain = librosa.beat.beat_track(y=np.concatenate(blocks), sr=SAMPLE_RATE_HZ, units="time")[1]
    return windows, np.asarray(plain), facts.duration_s


def build_parser() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = new_parser("deepsing eval beats", __doc__ or "", EXAMPLES)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with MIDI files")
    parser.add_argument("--hearing", choices=HEARINGS, default="whole", help="default: whole")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="DIR", help="folder of the models")
    parser.add_argument("--renderings", type=Path, metavar="DIR", help="keeps renderings here (default: nowhere)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the evaluation; returns the exit status."""
    options = build_parser().parse_args(arguments)
    console = Console(stderr=True)
    pieces = sorted(path for path in options.data.rglob("*") if path.suffix.lower() in (".mid", ".midi"))
    rows: dict[str, dict[str, float | None]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for piece in track(pieces, "hearing", console=console):
            try:
                score = read_score(piece)
                sound = render_if_midi(piece, options.renderings or Path(scratch))
                windows, plain, duration_s = _hear_piece(sound, options.weights, options.hearing == "live")
            except (AudioError, RenderingError, MidiError) as error:
                print_warning(console, f"{piece.name}: {error}; left out")
                continue
            rows[piece.name] = measure_piece(score.cut(duration_s), windows, plain)
    if not rows:
        print_warning(console, f"{options.data} has no MIDI file that can be heard; give a folder with .mid files")
        return 2
    answer = {"hearing": options.hearing, "n": len(rows), "means": _average(rows), "pieces": rows}
    sys.stdout.write(json.dumps(answer) + "\n" if options.json else _format_table(answer))
    return 0


def _average(rows: dict[str, dict[str, float | None]]) -> dict[str, dict[str, float]]:
    """Means over pieces with 95 % bootstrap intervals."""
    means: dict[str, dict[str, float]] = {}
    for name, _ in MEASURES:
        values = np.array([value for row in rows.values() if (value := row[name]) is not None])
        if not len(values):
            continue
        low, high = bootstrap_intervals(lambda drawn: {"mean": float(drawn.mean())}, values)["mean"]
        means[name] = {"mean": float(values.mean()), "low": low, "high": high}
    return means


def _format_table(answer: dict[str, object]) -> str:
    means, pieces = answer["means"], answer["pieces"]
    assert isinstance(means, dict)
    assert isinstance(pieces, dict)
    lines = [f"{answer['n']} pieces, hearing {answer['hearing']}; mean and 95 % interval"]
    lines += [
        f"  {text:48} {m['mean']:7.3f}  {m['low']:.3f} … {m['high']:.3f}" for k, text in MEASURES if (m := means.get(k))
    ]
    lines += ["by piece: beats, at any level, onsets, tempo at any level"]
    lines += [
        f"  {name:40} {r['beats']:.2f} {r['beats_any']:.2f} {r['onsets']:.2f} {r['tempo_any']:.2f}"
        for name, r in pieces.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
